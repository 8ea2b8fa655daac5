module gobayes/bayesrm/tensor/gen

go 1.26.0
