package llm

import (
	"fmt"
	"regexp"
	"strings"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string // "system", "user" or "assistant"
	Content string
}

// chat is how a conversation becomes a text: the formats that the models we name were trained on.
type chat struct {
	kind   string // "chatml" (SmolLM2), "llama3" or "llama2"
	system string // what chatml says where no system message is given
}

var defaultSystem = regexp.MustCompile(`(?s)<\|im_start\|>system\n(.*?)<\|im_end\|>`)

// setChat recognises a chat template and derives the model's Template from it. An empty one changes nothing.
func (m *Model) setChat(template string) error {
	c := &chat{}
	switch {
	case template == "":
		return nil
	case strings.Contains(template, "<|im_start|>"):
		c.kind = "chatml"
		if s := defaultSystem.FindStringSubmatch(strings.ReplaceAll(template, `\n`, "\n")); s != nil && !strings.Contains(s[1], "{") {
			c.system = s[1]
		}
	case strings.Contains(template, "<|start_header_id|>"):
		c.kind = "llama3"
	case strings.Contains(template, "[INST]"):
		c.kind = "llama2"
	default:
		return nil // Chat says that the format is not known
	}
	m.chat = c
	const mark = "\x00"
	text, err := m.Chat([]Message{{"user", mark}})
	if err != nil {
		return err
	}
	m.Template.Prompt, m.Template.Answer, _ = strings.Cut(text, mark)
	return nil
}

// Chat renders a conversation in the model's own format, up to where the assistant's answer begins. Models without a chat
// template that is known are an error.
func (m *Model) Chat(turns []Message) (string, error) {
	if m.chat == nil {
		return "", fmt.Errorf("llm: chat: the model has no chat template of a known kind (ChatML, Llama 3, Llama 2)")
	}
	for i, t := range turns {
		if t.Role != "user" && t.Role != "assistant" && (t.Role != "system" || i > 0) {
			return "", fmt.Errorf("llm: chat: turn %d has role %q: user, assistant, or system in the first turn", i, t.Role)
		}
	}
	var b strings.Builder
	switch m.chat.kind {
	case "chatml":
		if len(turns) > 0 && turns[0].Role != "system" && m.chat.system != "" {
			fmt.Fprintf(&b, "<|im_start|>system\n%s<|im_end|>\n", m.chat.system)
		}
		for _, t := range turns {
			fmt.Fprintf(&b, "<|im_start|>%s\n%s<|im_end|>\n", t.Role, t.Content)
		}
		b.WriteString("<|im_start|>assistant\n")
	case "llama3":
		b.WriteString("<|begin_of_text|>")
		for _, t := range turns {
			fmt.Fprintf(&b, "<|start_header_id|>%s<|end_header_id|>\n\n%s<|eot_id|>", t.Role, strings.TrimSpace(t.Content))
		}
		b.WriteString("<|start_header_id|>assistant<|end_header_id|>\n\n")
	case "llama2":
		system := ""
		for _, t := range turns {
			switch t.Role {
			case "system":
				system = "<<SYS>>\n" + t.Content + "\n<</SYS>>\n\n"
			case "user":
				fmt.Fprintf(&b, "<s>[INST] %s%s [/INST]", system, strings.TrimSpace(t.Content))
				system = ""
			case "assistant":
				fmt.Fprintf(&b, " %s </s>", strings.TrimSpace(t.Content))
			}
		}
	}
	return b.String(), nil
}
