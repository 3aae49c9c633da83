package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// serve is a server that keeps one object, of this name whatever it was created by; what it is asked.
func serve(t *testing.T, name string) *[]string {
	asked := new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.Method+" "+r.URL.Path)
		if r.Method == "POST" {
			fmt.Fprint(w, `{"id": 7}`)
		} else {
			fmt.Fprintf(w, `{"name": "%s"}`, name)
		}
	}))
	t.Cleanup(server.Close)
	base, failure = server.URL, ""
	return asked
}

func TestAFlowDeletesWhatItCreated(t *testing.T) {
	asked := serve(t, "object 3")
	if got := operation(3); got != "done" || failure != "" {
		t.Errorf("%q, %q", got, failure)
	}
	if last := (*asked)[len(*asked)-1]; last != "DELETE /objects/7" {
		t.Errorf("asked for %q", last)
	}
}

func TestAnotherObjectFailsTheOperation(t *testing.T) {
	serve(t, "another")
	if operation(3); failure == "" {
		t.Error("nothing failed")
	}
}
