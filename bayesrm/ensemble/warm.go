package ensemble

import (
	"errors"
	"fmt"

	"gobayes/bayesrm/reward"
)

// WARM returns the one model whose weights are the members' average (Ramé et al., arXiv 2401.12187): of each layer the
// average of the products s·B·A, not of B and of A, as a LoRA of the sum of the ranks; of the heads the average. The members
// must have the same base model.
func WARM(members []*reward.Model) (*reward.Model, error) {
	if len(members) == 0 {
		return nil, errors.New("ensemble: WARM: no members")
	}
	M := len(members)
	first := members[0].Base.LoRAs()
	rank := 0
	for i, m := range members {
		as := m.Base.LoRAs()
		if len(as) != len(first) || len(m.Head) != len(members[0].Head) {
			return nil, fmt.Errorf("ensemble: WARM: member %d has %d LoRA layers and a head of %d, the first %d and %d", i, len(as), len(m.Head), len(first), len(members[0].Head))
		}
		for l, a := range as {
			if a.A.Name != first[l].A.Name {
				return nil, fmt.Errorf("ensemble: WARM: member %d has a LoRA on %s, the first on %s", i, a.A.Name, first[l].A.Name)
			}
		}
		rank += as[0].R
	}
	out := &reward.Model{Base: members[0].Base.Copy(), Options: members[0].Options, Head: make([]float32, len(members[0].Head))}
	out.Options.Rank, out.Options.Alpha = rank, float64(rank) // s = 1
	as, err := out.Base.AddLoRA(out.Options.Targets, rank, float64(rank), 0)
	if err != nil {
		return nil, fmt.Errorf("ensemble: WARM: %w", err)
	}
	for l, a := range as {
		at := 0 // the member's first row of A and column of B
		for _, m := range members {
			p := m.Base.LoRAs()[l]
			copy(a.A.Data[at*a.A.Shape[1]:], p.A.Data)
			for o := range p.B.Shape[0] {
				for r := range p.R {
					a.B.Data[o*rank+at+r] = p.Scale / float32(M) * p.B.Data[o*p.R+r]
				}
			}
			at += p.R
		}
	}
	for _, m := range members {
		for c, v := range m.Head {
			out.Head[c] += v / float32(M)
		}
	}
	return out, nil
}
