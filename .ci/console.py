"""Uses the kernel bayesrm in jupyter console as a person does: values, errors, an interrupt, input, completion, several lines."""
import sys
import time

import pexpect

PROMPT = r"In \[\d+\]: "
console = sys.argv[1]


def spawn(*options):
    c = pexpect.spawn(console, ["--kernel", "bayesrm", *options], encoding="utf-8", timeout=60, dimensions=(40, 120), env=None)
    c.expect("In ")
    return c


def run(c, cell, want):
    c.sendline(cell)
    c.expect(want)
    c.expect(PROMPT)


c = spawn("--simple-prompt")
run(c, "x := []float64{1, 2, 39}; len(x)", r"Out\[1\]: 3")
run(c, 'fmt.Println("hello")', "\nhello")
run(c, 'fmt.Printn("x")', "did you mean fmt.Print")
run(c, 'panic("no")', "panic.*: no")
c.sendline("for {}")
time.sleep(1)
c.sendintr()
c.expect("Interrupt")
c.expect(PROMPT)
run(c, "x[2] + 3", r"Out\[6\]: 42")
c.sendline('var s string; fmt.Print("name? "); fmt.Scanln(&s); fmt.Println("hi", s)')
c.expect(r"name\? ")
c.sendline("Ann")
c.expect("hi Ann")
c.close(force=True)

c = spawn()
time.sleep(2)
c.send("strings.Rep\t")
c.expect("ReplaceAll")
c.send("\x15")  # clears the line
time.sleep(1)
for line in ["func f(n int) int {\r", "return n * 2\r", "}\r", "\r", "f(21)\r"]:
    c.send(line)
    time.sleep(1)
c.expect("Out.*: .*42")
c.send("\x04")
c.expect("exit")
c.send("y\r")
c.expect(pexpect.EOF)
print("jupyter console: ok")
