package reward

import "gobayes/bayesrm/nn"

// loss is the loss of one pair and its gradient with respect to the two rewards. With Δ = r_w − r_l − margin, q the
// probability of label noise and ε the smoothing:
//
//	−(1−ε)·log σ(Δ) − ε·log σ(−Δ) + centring·(r_w + r_l)² + l2·(r_w² + r_l²)/2
//
// where label noise replaces log σ(±Δ) by log(q + (1−2q)σ(±Δ)).
func (o *Options) loss(chosen, rejected, margin float64) (loss, dChosen, dRejected float64) {
	d := chosen - rejected - margin
	win, dWin := nn.LogLikelihood(d, o.LabelNoise)
	lose, dLose := nn.LogLikelihood(-d, o.LabelNoise)
	e := o.LabelSmoothing
	sum := chosen + rejected
	loss = -(1-e)*win - e*lose + o.Centring*sum*sum + o.L2*(chosen*chosen+rejected*rejected)/2
	g := -(1-e)*dWin + e*dLose
	return loss, g + 2*o.Centring*sum + o.L2*chosen, -g + 2*o.Centring*sum + o.L2*rejected
}
