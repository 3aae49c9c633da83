// A flow: create an object, read it by the id that came back, delete it.
package main

import (
	"encoding/json"
	"fmt"
)

// Where the flow goes; its unit test has a server of its own.
var base = "http://127.0.0.1:8080"

func operation(n uint64) string {
	if err := flow(n); err != nil {
		fail(err.Error())
		return "failed"
	}
	return "done"
}

func flow(n uint64) error {
	object := fmt.Sprintf(`{"name": "object %d"}`, n)

	answer, err := send("POST", "/objects", "/objects", object)
	if err != nil {
		return err
	}
	var created struct{ ID uint64 }
	if err := json.Unmarshal([]byte(answer), &created); err != nil {
		return err
	}
	path := fmt.Sprintf("/objects/%d", created.ID)

	read, err := send("GET", path, "/objects/{id}", "")
	if err != nil {
		return err
	}
	if read != object {
		fail("another object was read: " + read)
	}

	_, err = send("DELETE", path, "/objects/{id}", "")
	return err
}

// send sends a request, timed as a span that is named for all requests of its kind. A status of 400 or more is an error.
func send(method, path, kind, body string) (string, error) {
	end := span(method + " " + kind)
	status, answer, err := request(method, base+path, body, nil)
	end()
	if err == nil && status >= 400 {
		err = fmt.Errorf("it answered %d", status)
	}
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", method, kind, err)
	}
	return answer, nil
}
