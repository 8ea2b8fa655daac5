package client_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"gobayes/kernel/client"
	"gobayes/kernel/notebook"
)

// A program starts a kernel, runs cells, sees their outputs as they come, and reads what they show.
func Example() {
	bayesrm, remove := build() // go build ./kernel/cmd/bayesrm; or the binary that `install kernel` names
	defer remove()
	ctx := context.Background()
	k, err := client.Start(ctx, client.Options{Argv: []string{bayesrm, "kernel", "{connection_file}"}, Env: []string{client.NoHistory}})
	if err != nil {
		log.Fatal(err)
	}
	defer k.Close()
	r, err := k.Execute(ctx, "xs := []float64{1, 2, 6}\nfmt.Println(\"a cell prints\")\nstat.Mean(xs, nil)", func(o notebook.Output) {
		if o.Type == "stream" {
			fmt.Print(o.Text)
		}
	})
	if err != nil {
		log.Fatal(err) // the kernel is gone
	}
	fmt.Println(r.Outputs[len(r.Outputs)-1].Data["text/plain"])
	if r, err = k.Execute(ctx, "xs[3]", nil); err == nil && r.Err != nil {
		fmt.Println(r.Err)
	}
	// Output:
	// a cell prints
	// 3
	// Panic: runtime error: index out of range
}

func build() (binary string, remove func()) {
	dir, err := os.MkdirTemp("", "bayesrm-example-")
	if err != nil {
		log.Fatal(err)
	}
	binary = filepath.Join(dir, "bayesrm")
	if out, err := exec.Command("go", "build", "-o", binary, "gobayes/kernel/cmd/bayesrm").CombinedOutput(); err != nil {
		log.Fatalf("%v: %s", err, out)
	}
	return binary, func() { os.RemoveAll(dir) }
}
