package tokenizer

import "strings"

// node is a token of a word that is being merged, in a linked list.
type node struct{ id, prev, next int }

// candidate is a pair that could be merged.
type candidate struct{ rank, at, left, right, to int }

// mergeNodes merges neighbours, always the pair of lowest rank, leftmost first, and appends what is left to ids. nodes are
// linked in order.
func mergeNodes(nodes []node, ids []int, rank func(a, b int) (merge, bool)) []int {
	var q pairs
	push := func(i int) {
		if i < 0 || nodes[i].next >= len(nodes) {
			return
		}
		j := nodes[i].next
		if m, ok := rank(nodes[i].id, nodes[j].id); ok {
			q.push(candidate{m.rank, i, nodes[i].id, nodes[j].id, m.to})
		}
	}
	for i := range nodes {
		push(i)
	}
	for len(q) > 0 {
		c := q.pop()
		n := &nodes[c.at]
		if n.id != c.left || n.next >= len(nodes) || nodes[n.next].id != c.right {
			continue // merged away meanwhile
		}
		dead := n.next
		n.id, n.next = c.to, nodes[dead].next
		nodes[dead].id = -1
		if n.next < len(nodes) {
			nodes[n.next].prev = c.at
		}
		push(n.prev)
		push(c.at)
	}
	for i := 0; i < len(nodes); i = nodes[i].next {
		ids = append(ids, nodes[i].id)
	}
	return ids
}

// pairs is a heap by rank, then position. container/heap would box each candidate.
type pairs []candidate

func (q pairs) less(i, j int) bool {
	return q[i].rank < q[j].rank || q[i].rank == q[j].rank && q[i].at < q[j].at
}

func (q *pairs) push(c candidate) {
	*q = append(*q, c)
	h := *q
	for i := len(h) - 1; i > 0 && h.less(i, (i-1)/2); i = (i - 1) / 2 {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
	}
}

func (q *pairs) pop() candidate {
	h := *q
	top, last := h[0], len(h)-1
	h[0] = h[last]
	h = h[:last]
	for i := 0; ; {
		k := 2*i + 1
		if k >= last {
			break
		}
		if k+1 < last && h.less(k+1, k) {
			k++
		}
		if !h.less(k, i) {
			break
		}
		h[i], h[k] = h[k], h[i]
		i = k
	}
	*q = h
	return top
}

// matcher finds added tokens in text: leftmost, then longest.
type matcher struct {
	byFirst [256][]addedToken
	any     bool
}

func newMatcher(tokens []addedToken) *matcher {
	m := &matcher{}
	for _, a := range tokens {
		if a.Content != "" {
			m.byFirst[a.Content[0]] = append(m.byFirst[a.Content[0]], a)
			m.any = true
		}
	}
	return m
}

// cut calls f with the stretches of s between added tokens (id −1) and with the tokens.
func (m *matcher) cut(s string, f func(s string, id int)) {
	from := 0
	for i := 0; m.any && i < len(s); i++ {
		best := addedToken{}
		for _, a := range m.byFirst[s[i]] {
			if len(a.Content) > len(best.Content) && strings.HasPrefix(s[i:], a.Content) {
				best = a
			}
		}
		if n := len(best.Content); n > 0 {
			if i > from {
				f(s[from:i], -1)
			}
			f(s[i:i+n], best.ID)
			from = i + n
			i += n - 1
		}
	}
	if from < len(s) {
		f(s[from:], -1)
	}
}
