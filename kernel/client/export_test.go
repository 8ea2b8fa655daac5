package client

import (
	"context"

	"gobayes/kernel/internal/wire"
)

// Pipeline sends a cell n times before it waits for the first reply.
func (k *Kernel) Pipeline(code string, n int) error {
	var ids []string
	var replies []chan *wire.Message
	for range n {
		h := k.codec.NewHeader("execute_request")
		ids, replies = append(ids, h.MsgID), append(replies, k.expect(h.MsgID))
		if err := k.send(k.shell, h, nil, map[string]any{"code": code}); err != nil {
			return err
		}
	}
	for i, id := range ids {
		if _, err := k.await(context.Background(), id, replies[i]); err != nil {
			return err
		}
	}
	return nil
}
