package rules

import (
	"fmt"
	"strings"
)

// Error says what is wrong with a document, at the field to blame.
type Error struct {
	Rule   int    // from 0; -1: the document as a whole
	Name   string // of the rule, if it has one
	Field  string // such as match.tenant; "" is the rule itself
	Line   int    // of the document, from 1; 0: unknown
	Reason string
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Rule < 0 {
		b.WriteString("rules")
	} else {
		fmt.Fprintf(&b, "rule %d", e.Rule)
		if e.Name != "" {
			fmt.Fprintf(&b, " (%s)", e.Name)
		}
	}
	if e.Field != "" {
		b.WriteString(": " + e.Field)
	}
	b.WriteString(": " + e.Reason)
	if e.Line > 0 {
		fmt.Fprintf(&b, " (line %d)", e.Line)
	}
	return b.String()
}

// Errors is all that is wrong with a document, up to a bound.
type Errors []*Error

func (e Errors) Error() string {
	var lines []string
	for _, one := range e {
		lines = append(lines, one.Error())
	}
	return strings.Join(lines, "; ")
}

// Unwrap answers each of the errors.
func (e Errors) Unwrap() []error {
	var list []error
	for _, one := range e {
		list = append(list, one)
	}
	return list
}

// Code is what the API calls rules that cannot be.
func (e Errors) Code() string { return "invalid_rules" }
