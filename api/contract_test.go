package api

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

func TestOpenAPIIsValid(t *testing.T) {
	doc, err := document3()
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// calls answers "METHOD /path" of everything, sorted.
func calls(set map[string]bool) []string {
	var list []string
	for c := range set {
		list = append(list, c)
	}
	slices.Sort(list)
	return list
}

// served are the routes of the server, as they were given to echo. Every GET
// has a HEAD and every path OPTIONS, which are left out where no document
// names them; so are the files of the web page but for its first.
func served(t *testing.T, named map[string]bool) map[string]bool {
	h := newHarness(t, nil)
	set := map[string]bool{}
	for _, r := range h.server.echo.Routes() {
		path := regexp.MustCompile(`:(\w+)`).ReplaceAllString(r.Path, "{$1}")
		call := r.Method + " " + path
		if r.Method == echo.RouteNotFound {
			continue
		}
		implied := r.Method == "HEAD" || r.Method == "OPTIONS"
		if _, page := h.server.files[r.Path]; page && r.Path != "/" || implied && !named[call] {
			continue
		}
		set[call] = true
	}
	return set
}

func inOpenAPI(t *testing.T) map[string]bool {
	doc, err := document3()
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			set[method+" "+path] = true
		}
	}
	return set
}

// inPage reads the first column of the tables of API.md: "`GET`, `PUT /v1/x`".
func inPage(t *testing.T) map[string]bool {
	page, err := os.ReadFile("API.md")
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		cells := strings.SplitN(line, "|", 3)
		if len(cells) < 3 {
			continue
		}
		var methods []string
		for _, m := range regexp.MustCompile("`(GET|HEAD|OPTIONS|PUT|POST|PATCH|DELETE)( /[^`?]*)?[^`]*`").FindAllStringSubmatch(cells[1], -1) {
			methods = append(methods, m[1])
			if path := strings.TrimSpace(m[2]); path != "" {
				for _, method := range methods {
					set[method+" "+path] = true
				}
				methods = nil
			}
		}
		if len(methods) > 0 {
			t.Errorf("API.md: methods without a path: %s", cells[1])
		}
	}
	return set
}

// TestRoutesDocumentAndPageAgree holds the three to each other, both ways.
func TestRoutesDocumentAndPageAgree(t *testing.T) {
	document, page := inOpenAPI(t), inPage(t)
	routes := served(t, document)
	if len(routes) < 40 {
		t.Fatalf("only %d routes were found", len(routes))
	}
	if a, b := calls(routes), calls(document); !slices.Equal(a, b) {
		t.Errorf("routes and openapi.yaml differ:\nroutes alone: %v\nopenapi.yaml alone: %v", without(a, b), without(b, a))
	}
	if a, b := calls(document), calls(page); !slices.Equal(a, b) {
		t.Errorf("openapi.yaml and API.md differ:\nopenapi.yaml alone: %v\nAPI.md alone: %v", without(a, b), without(b, a))
	}
}

func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// TestEveryCodeIsDocumented holds the table of problems and the document to
// each other, and each code to a response of its status.
func TestEveryCodeIsDocumented(t *testing.T) {
	doc, err := document3()
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, v := range doc.Components.Schemas["Problem"].Value.Properties["code"].Value.Enum {
		listed = append(listed, v.(string))
	}
	slices.Sort(listed)
	known := map[string]bool{}
	for code := range problems {
		known[code] = true
	}
	if a, b := calls(known), listed; !slices.Equal(a, b) {
		t.Errorf("codes of errors.go alone: %v; of openapi.yaml alone: %v", without(a, b), without(b, a))
	}
	described := ""
	for _, r := range doc.Components.Responses {
		described += "," + *r.Value.Description
	}
	for code, k := range problems {
		if !regexp.MustCompile(`\b`+code+`\b`).MatchString(described) && k.status != 499 {
			t.Errorf("no response of openapi.yaml names %s", code)
		}
	}
}

// TestEveryRouteIsClosed holds that all of /v1 needs a token, and nothing else
// lies there.
func TestEveryRouteIsClosed(t *testing.T) {
	h := newHarness(t, nil)
	for _, r := range h.server.routes() {
		if underV1(r.path) != (r.action != 0) {
			t.Errorf("%s %s: action %d", r.method, r.path, r.action)
		}
		if r.tokenInQuery && r.method != "GET" {
			t.Errorf("%s %s takes a token in its address", r.method, r.path)
		}
	}
}

func TestDocumentIsServed(t *testing.T) {
	h := newHarness(t, nil)
	a := h.do("GET", "/openapi.yaml", "", "").is(200)
	if a.Header.Get("Content-Type") != "application/yaml" || string(a.body) != string(contract) {
		t.Errorf("got %s, %d bytes", a.Header.Get("Content-Type"), len(a.body))
	}
}
