// This file is empty: it lets label.go declare a function without a body.
