// Package bayesrm holds the words that all packages of the engine share, and the map from the paper to the code.
//
// "Bayesian Reward Models for LLM Alignment" (Yang, Robeyns, Coste, Wang, Bou-Ammar, Aitchison; arXiv 2402.13210):
//
//	eq. 1–2    Bradley-Terry probability          nn.Sigmoid of a difference of rewards, reward.Model
//	eq. 3      the training loss                  reward.Train
//	eq. 4      KL of best-of-n                    bestofn.KL
//	eq. 5      LoRA                               llm.Model.AddLoRA
//	eq. 6–13   Laplace posterior                  laplace.Fit
//	eq. 14–17  Gaussian reward of one response    laplace.Posterior.Score
//	eq. 18     standard-deviation penalty         penalty.StdOf
//	eq. 19     variance penalty                   penalty.VarOf
//	eq. 23–25  best-of-n estimator                bestofn.Curve, bestofn.Weights
package bayesrm
