// Renders templates with Go's own text/template, so that puna's interpreter can be compared with it.
// Reads {"data": {name: any}, "chats": {name: chat}, "cases": [{template, data}]} from standard input
// and writes the cases with what Go made of them. Started by tools/record_go_templates.py.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"text/template"
)

type PropertyType []string

func (k PropertyType) String() string {
	if len(k) < 2 {
		return strings.Join(k, "")
	}
	return fmt.Sprintf("%v", []string(k))
}

func (k *PropertyType) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*k = PropertyType{one}
		return nil
	}
	var many []string
	err := json.Unmarshal(raw, &many)
	*k = many
	return err
}

func (k PropertyType) MarshalJSON() ([]byte, error) {
	if len(k) == 1 {
		return json.Marshal(k[0])
	}
	return json.Marshal([]string(k))
}

type ToolProperty struct {
	AnyOf       []ToolProperty     `json:"anyOf,omitempty"`
	Type        PropertyType       `json:"type,omitempty"`
	Items       any                `json:"items,omitempty"`
	Description string             `json:"description,omitempty"`
	Enum        []any              `json:"enum,omitempty"`
	Properties  *ToolPropertiesMap `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
}

type ToolPropertiesMap map[string]ToolProperty

var typescript = map[string]string{"string": "string", "number": "number", "integer": "number",
	"boolean": "boolean", "array": "any[]", "object": "Record<string, any>", "null": "null"}

func (p ToolProperty) ToTypeScriptType() string {
	var found []string
	for _, each := range p.AnyOf {
		found = append(found, each.ToTypeScriptType())
	}
	if len(found) == 0 {
		for _, each := range p.Type {
			word, ok := typescript[each]
			if !ok {
				word = "any"
			}
			found = append(found, word)
		}
	}
	if len(found) == 0 {
		return "any"
	}
	return strings.Join(found, " | ")
}

func asJSON(v any) string {
	raw, _ := json.Marshal(v)
	return string(raw)
}

type templateProperties map[string]ToolProperty
type templateArgs map[string]any
type templateTools []templateTool

func (p templateProperties) String() string {
	if p == nil {
		return "{}"
	}
	return asJSON(map[string]ToolProperty(p))
}

func (a templateArgs) String() string {
	if a == nil {
		return "{}"
	}
	return asJSON(map[string]any(a))
}
func (t templateTool) String() string  { return asJSON(t) }
func (t templateTools) String() string { return asJSON(t) }

type templateTool struct {
	Type     string               `json:"type"`
	Items    any                  `json:"items,omitempty"`
	Function templateToolFunction `json:"function"`
}

type templateToolFunction struct {
	Name        string                         `json:"name"`
	Description string                         `json:"description"`
	Parameters  templateToolFunctionParameters `json:"parameters"`
}

type templateToolFunctionParameters struct {
	Type       string             `json:"type"`
	Defs       any                `json:"$defs,omitempty"`
	Items      any                `json:"items,omitempty"`
	Required   []string           `json:"required,omitempty"`
	Properties templateProperties `json:"properties"`
}

type templateToolCallFunction struct {
	Index     int
	Name      string
	Arguments templateArgs
}

type templateToolCall struct {
	ID       string
	Function templateToolCallFunction
}

type ImageData []byte

type templateMessage struct {
	Role, Content, Thinking string
	Images                  []ImageData
	ToolCalls               []templateToolCall
	ToolName, ToolCallID    string
}

type chat struct {
	System     string
	Messages   []*templateMessage
	Tools      templateTools
	Think      bool
	ThinkLevel string
	IsThinkSet bool
}

type outcome struct {
	Template string `json:"template"`
	Data     string `json:"data"`
	Output   string `json:"output"`
	Error    string `json:"error,omitempty"`
}

var functions = template.FuncMap{
	"json":          asJSON,
	"currentDate":   func(...string) string { return "2026-11-24" },
	"yesterdayDate": func(...string) string { return "2026-11-23" },
	"toTypeScriptType": func(v any) string {
		if p, ok := v.(ToolProperty); ok {
			return p.ToTypeScriptType()
		}
		return "any"
	},
}

func render(text string, data any) (string, error) {
	parsed, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = parsed.Execute(&out, data)
	return out.String(), err
}

func main() {
	var asked struct {
		Data  map[string]any
		Chats map[string]*chat
		Cases []outcome
	}
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		panic(err)
	}
	for name, each := range asked.Chats {
		asked.Data[name] = map[string]any{"System": each.System, "Messages": each.Messages,
			"Tools": each.Tools, "Response": "", "Think": each.Think,
			"ThinkLevel": each.ThinkLevel, "IsThinkSet": each.IsThinkSet}
	}
	for i := range asked.Cases {
		each := &asked.Cases[i]
		var err error
		each.Output, err = render(each.Template, asked.Data[each.Data])
		if err != nil {
			each.Error = err.Error()
		}
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(map[string]any{"go": runtime.Version(), "cases": asked.Cases})
}
