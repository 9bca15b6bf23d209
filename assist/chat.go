package assist

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// chat asks the model for JSON of a schema, and returns it. The schema only helps: the answer may be anything, and is for the caller to check. most is the most tokens of the answer. checked is
// called with the answer before it is kept, so that one that does not pass is asked for again another time.
func (c *Client) chat(ctx context.Context, system string, data any, name string, schema map[string]any, most int, checked func(answer []byte) error) error {
	user, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("chat: %w", err)
	}
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	body, err := json.Marshal(map[string]any{
		"model":       c.cfg.Model,
		"messages":    []message{{"system", system}, {"user", string(user)}},
		"temperature": 0,
		"max_tokens":  most,
		"response_format": map[string]any{
			"type":        "json_schema",
			"json_schema": map[string]any{"name": name, "strict": true, "schema": schema},
		},
	})
	if err != nil {
		return fmt.Errorf("chat: %w", err)
	}
	question := c.question("chat", string(body))
	if kept := c.cached(question); kept != nil && checked(kept) == nil {
		c.countCached()
		return nil
	}
	b, err := c.post(ctx, "/chat/completions", body, mostTokens(string(body))+int64(most))
	if err != nil {
		return fmt.Errorf("chat: %w", err)
	}
	var answer struct {
		Choices []struct {
			Message      message `json:"message"`
			FinishReason string  `json:"finish_reason"`
		} `json:"choices"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return fmt.Errorf("chat: %w: %w", ErrAnswer, err)
	}
	if len(answer.Choices) != 1 || answer.Choices[0].FinishReason != "stop" {
		return fmt.Errorf("chat: %w: it is not one answer that was ended", ErrAnswer)
	}
	content := []byte(answer.Choices[0].Message.Content)
	if err := checked(content); err != nil {
		return fmt.Errorf("chat: %w", err)
	}
	return c.keep(question, content)
}

// object is the JSON schema of an object with some properties, all of which must be there, and no others.
func object(properties map[string]any) map[string]any {
	return map[string]any{"type": "object", "properties": properties, "required": slices.Sorted(maps.Keys(properties)), "additionalProperties": false}
}
