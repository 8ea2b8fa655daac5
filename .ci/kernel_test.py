"""The official jupyter_kernel_test with every optional check, against the installed kernel bayesrm."""

import unittest

import jupyter_kernel_test


class BayesrmTests(jupyter_kernel_test.KernelTests):
    kernel_name = "bayesrm"
    language_name = "go"
    file_extension = ".go"
    code_hello_world = 'fmt.Println("hello, world")'
    code_stderr = 'fmt.Fprintln(os.Stderr, "test")'
    completion_samples = [
        {"text": "strings.HasP", "matches": {"HasPrefix"}},
        {"text": "lapl", "matches": {"laplace"}},
        {"text": "reward.Train(ctx, nil, nil, &reward.Options{LearningR", "matches": {"LearningRate"}},
    ]
    complete_code_samples = ["1", 'fmt.Println("hello")', "func f(x int) int {\n\treturn x * 2\n}", ""]
    incomplete_code_samples = ["func f(x int) int {", 'fmt.Println("a",', "s := `raw", "/* comment", "x :="]
    invalid_code_samples = ["x := )", "func 7q() {}", 'y := "open']
    code_page_something = 'display.Page("a page")'
    code_generate_error = 'panic("x")'
    code_execute_result = [
        {"code": "1+2+3", "result": "6"},
        {"code": '"a" + "b"', "result": "ab"},
        {"code": "[]int{1, 4, 9}", "result": "[1 4 9]"},
    ]
    code_display_data = [
        {"code": 'display.HTML("<b>test</b>")', "mime": "text/html"},
        {"code": 'display.Markdown("# test")', "mime": "text/markdown"},
        {"code": 'display.Latex("$x$")', "mime": "text/latex"},
        {"code": 'display.SVG("<svg xmlns=\'http://www.w3.org/2000/svg\'/>")', "mime": "image/svg+xml"},
        {"code": "display.Show(image.NewGray(image.Rect(0, 0, 2, 2)))", "mime": "image/png"},
        {"code": "display.Show(plot.New())", "mime": "image/svg+xml"},
        {"code": 'display.JSON(map[string]int{"a": 1})', "mime": "application/json"},
        {"code": "display.Show(map[string]int{\"a\": 1})", "mime": "text/html"},
        {
            "code": 'display.Show(figures.Panels(figures.Panel{Series: []figures.Series{{Label: "a", X: []float64{1, 2}, Y: []float64{1, 2}}}}))',
            "mime": "application/vnd.vegalite.v5+json",
        },
    ]
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "strings.ToUpper"
    code_clear_output = "display.Clear(false)"


if __name__ == "__main__":
    unittest.main()
