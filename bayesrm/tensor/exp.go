package tensor

import "math"

// Exp returns eˣ with a relative error below 2e-7: 2ⁿ times a polynomial on |r| ≤ ln 2 / 2 (Cephes' expf). Above 88.7 it
// is +Inf, below −87.3 it is 0.
func Exp(x float32) float32 {
	const (
		log2e = 1.44269504088896341
		ln2hi = 0.693359375
		ln2lo = -2.12194440e-4
	)
	switch {
	case x != x:
		return x
	case x > 88.72:
		return float32(math.Inf(1))
	case x < -87.3:
		return 0
	}
	n := float32(math.Floor(float64(x*log2e + 0.5)))
	r := x - n*ln2hi - n*ln2lo
	p := ((((1.9875691500e-4*r+1.3981999507e-3)*r+8.3334519073e-3)*r+4.1665795894e-2)*r+1.6666665459e-1)*r + 5.0000001201e-1
	half := int32(n) / 2 // 2ⁿ in two steps: 2¹²⁸ alone is no float32
	y := (p*r*r + r + 1) * math.Float32frombits(uint32(half+127)<<23)
	return y * math.Float32frombits(uint32(int32(n)-half+127)<<23)
}

// Softmax replaces x by eˣ / Σ eˣ and returns log Σ eˣ of the old x.
func Softmax(x []float32) float32 {
	m := x[0]
	for _, v := range x {
		m = max(m, v)
	}
	var sum float32
	for i, v := range x {
		e := Exp(v - m)
		x[i] = e
		sum += e
	}
	r := 1 / sum
	for i := range x {
		x[i] *= r
	}
	return m + float32(math.Log(float64(sum)))
}

// Erf returns the error function with an absolute error below 5e-7: 1.5e-7 of the formula (Abramowitz and
// Stegun 7.1.26, five terms) and float32 rounding.
func Erf(x float32) float32 {
	a := x
	if a < 0 {
		a = -a
	}
	t := 1 / (1 + 0.3275911*a)
	y := 1 - ((((1.061405429*t-1.453152027)*t+1.421413741)*t-0.284496736)*t+0.254829592)*t*Exp(-a*a)
	if x < 0 {
		return -y
	}
	return y
}
