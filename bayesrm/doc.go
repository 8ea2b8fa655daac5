// Package bayesrm holds the words that all packages of the engine share, and the map from the paper to the code.
//
// "Bayesian Reward Models for LLM Alignment" (Yang, Robeyns, Coste, Wang, Bou-Ammar, Aitchison; arXiv 2402.13210):
//
//	eq. 1–2    Bradley-Terry probability          nn.Sigmoid of a difference of rewards, reward.Model
//	eq. 3      the training loss                  reward.Train
//	           of rankings, K-wise                reward.TrainRankings
//	eq. 4      KL of best-of-n                    bestofn.KL
//	eq. 5      LoRA                               llm.Model.AddLoRA
//	eq. 6–13   Laplace posterior                  laplace.Fit, laplace.Posterior.TunePrior
//	eq. 7–9    its mode, trained with the prior   reward.Options.Prior
//	eq. 14–17  Gaussian reward of one response    laplace.Posterior.Score, laplace.Posterior.ScorePool
//	eq. 18     standard-deviation penalty         penalty.StdOf
//	eq. 19     variance penalty                   penalty.VarOf
//	eq. 20     ensemble of posteriors             penalty.Average, ensemble.FromPosteriors
//	eq. 21–22  its penalties                      penalty.StdOf, penalty.VarOf of such beliefs
//	eq. 23–25  best-of-n estimator                bestofn.Curve, bestofn.Weights
//	Tables 2–3 supervised fine-tuning             sft.Train
//	Figure 1, Table 1: RLHF                       ppo.Train
//
// The systems that it is compared with:
//
//	Laplace-LoRA (Yang et al. 2024)                laplace.KronLaplaceLoRA
//	Kronecker factors, EKFAC (George et al. 2018)  laplace.Kron, laplace.KronReduce, laplace.EKFAC
//	low-rank Kronecker (Yang et al. 2024)          laplace.KronLowRank
//	accelerated Laplace (Deng et al. 2022)         laplace.Nystrom
//	empirical Fisher (Kunstner et al. 2019)        laplace.EmpiricalFisher
//	last-layer and subnetwork Laplace              laplace.LastLayer, laplace.Subnetwork
//	WCO, UWO (Coste et al. 2024)                   penalty.WCO, penalty.UWO, ensemble.Train
//	bagging (Gleave and Irving 2022)               ensemble.Options.Bagging, prefs.Pairs.Bootstrap
//	pretrain-seed ensembles (Eisenstein 2023)      ensemble.Options.Bases, reward.Options.Centring
//	heads on one backbone (Zhang et al. 2024)      ensemble.TrainHeads
//	diverse LoRA, UP-RLHF (Zhai et al. 2024)       ensemble.TrainDiverse, ensemble.Diversity
//	WARM (Ramé et al. 2024)                        ensemble.WARM
//	ODIN (Chen et al. 2024)                        reward.TrainODIN
//	MC dropout (Gal and Ghahramani 2016)           ensemble.Dropout
//	KL-robust reward                               penalty.Robust, penalty.Quantile
//	AlpacaFarm's gold (Dubois et al. 2023)         reward.LoadAlpacaFarm, sample.Label
//	PPO as Coste et al. 2024 run it, GAE, KL       ppo.Train, ppo.GAE, ppo.K1, ppo.Controller
//	RLOO (Ahmadian et al. 2024)                    ppo.TrainRLOO, ppo.LeaveOneOut
//	variance relative to reference answers         laplace.Posterior.Against
//	laws of over-optimisation (Gao et al. 2023)    bestofn.FitBoN, bestofn.FitRL
//	KL of best-of-n (Beirami et al. 2024)          bestofn.ExactKL, bestofn.BeiramiKL
package bayesrm
