//go:build !wasm

// Requests in unit tests: those of Go's own client.

package main

import (
	"io"
	"net/http"
	"strings"
)

func request(method, url, body string, headers map[string]string) (status int, answer string, err error) {
	sent, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	for name, value := range headers {
		sent.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(sent)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	return response.StatusCode, string(read), err
}
