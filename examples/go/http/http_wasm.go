// Requests by wasi:http. What is imported here is as wit/deps has it, in words of the component model's canonical ABI:
// a handle is a number, a string or list its address and length, an option or variant a number and what belongs to it;
// what does not fit into one number comes back in memory.

package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"structs"
	"unsafe"
)

// request sends a request and waits for the answer. Only where there is none, or not all of it, there is an error.
func request(method, url, body string, headers map[string]string) (status int, answer string, err error) {
	outgoing, err := outgoingRequest(method, url, body, headers)
	if err != nil {
		return 0, "", err
	}
	var sink made
	if body != "" {
		outgoingBody(outgoing, &sink)
	}
	var future answered
	handlerHandle(outgoing, 0, 0, &future)
	if future.isError != 0 {
		if body != "" {
			outgoingBodyDrop(sink.handle)
		}
		return 0, "", future.error()
	}
	if body != "" {
		writeBody(sink.handle, body)
	}
	ready := futureSubscribe(future.handle())
	pollableBlock(ready)
	pollableDrop(ready)
	var got got
	futureGet(future.handle(), &got)
	futureDrop(future.handle())
	if got.answered.isError != 0 {
		return 0, "", got.answered.error()
	}
	return readResponse(got.answered.handle())
}

func outgoingRequest(method, url, body string, headers map[string]string) (int32, error) {
	fields, isRight := fieldsNew(), true
	add := func(name, value string) {
		var added made
		fieldsAppend(fields, name, value, &added)
		isRight = isRight && added.isError == 0
	}
	for name, value := range headers {
		add(name, value)
	}
	if body != "" {
		add("content-length", strconv.Itoa(len(body)))
	}
	scheme, rest, _ := strings.Cut(url, "://")
	which := slices.Index([]string{"http", "https"}, scheme)
	authority, path, _ := strings.Cut(rest, "/")
	path, _, _ = strings.Cut("/"+path, "#")
	outgoing := outgoingNew(fields)
	isRight = isRight && setMethod(outgoing, methodOther, method) == 0
	isRight = isRight && which >= 0 && setScheme(outgoing, 1, int32(which), "") == 0
	isRight = isRight && setAuthority(outgoing, 1, authority) == 0
	isRight = isRight && setPath(outgoing, 1, path) == 0
	if !isRight {
		outgoingDrop(outgoing)
		return 0, errors.New("this cannot be sent: look at its method, URL and headers")
	}
	return outgoing, nil
}

func writeBody(body int32, text string) {
	var stream made
	bodyWrite(body, &stream)
	for len(text) > 0 {
		// It takes no more at once.
		most := min(len(text), 4096)
		var written chunk
		outputWrite(stream.handle, text[:most], &written)
		if written.isError != 0 {
			// A server may answer before it has read everything; then its answer says more.
			written.drop()
			break
		}
		text = text[most:]
	}
	outputDrop(stream.handle)
	var finished answered
	bodyFinish(body, 0, 0, &finished)
}

func readResponse(response int32) (status int, answer string, err error) {
	var body, stream made
	responseConsume(response, &body)
	bodyStream(body.handle, &stream)
	var read []byte
	var next chunk
	for inputRead(stream.handle, 1<<16, &next); next.isError == 0; inputRead(stream.handle, 1<<16, &next) {
		read = append(read, next.bytes()...)
	}
	if !next.drop() {
		err = errors.New("the connection broke within the body")
	}
	status = int(responseStatus(response))
	inputDrop(stream.handle)
	bodyDrop(body.handle)
	responseDrop(response)
	return status, string(read), err
}

// The cases of the variants `method` and `error-code` that have a text.
const (
	methodOther   = 9
	internalError = 38
)

var errorNames = [...]string{
	"DNS timeout", "DNS error", "destination not found", "destination unavailable", "destination IP prohibited",
	"destination IP unroutable", "connection refused", "connection terminated", "connection timeout",
	"connection read timeout", "connection write timeout", "connection limit reached", "TLS protocol error",
	"TLS certificate error", "TLS alert received", "not granted (--allow)", "request length required",
	"request body size", "request method invalid", "request URI invalid", "request URI too long",
	"request header section size", "request header size", "request trailer section size", "request trailer size",
	"response incomplete", "response header section size", "response header size", "response body size",
	"response trailer section size", "response trailer size", "response transfer coding", "response content coding",
	"response timeout", "upgrade failed", "HTTP protocol error", "loop detected", "configuration error",
	"internal error",
}

// `result<handle>`, and `result<_, header-error>`, which is smaller.
type made struct {
	_       structs.HostLayout
	isError uint8
	handle  int32
}

// `result<handle, error-code>`: the handle, or the error's case and, for the last one, its text.
type answered struct {
	_       structs.HostLayout
	isError uint8
	_       [7]uint8
	value   int32
	_       [4]uint8
	hasText uint8
	text    uint32
	length  uint32
	_       [12]uint8
}

func (a *answered) handle() int32 { return a.value }

func (a *answered) error() error {
	which := uint8(a.value)
	if which == internalError && a.hasText != 0 {
		return errors.New(string(borrowed(a.text, a.length)))
	}
	return errors.New(errorNames[which])
}

// `option<result<result<incoming-response, error-code>>>`
type got struct {
	_        structs.HostLayout
	isThere  uint8
	_        [7]uint8
	isTaken  uint8
	_        [7]uint8
	answered answered
}

// `result<list<u8>, stream-error>`, where the error is that of an operation, or the end; and the same without a list.
type chunk struct {
	_       structs.HostLayout
	isError uint8
	first   uint32
	second  uint32
}

func (c *chunk) bytes() []byte { return borrowed(c.first, c.second) }

// drop reports whether the stream has ended as it should.
func (c *chunk) drop() (isEnd bool) {
	isEnd = uint8(c.first) != 0
	if !isEnd {
		errorDrop(int32(c.second))
	}
	return isEnd
}

// What the host has put into memory of `cabi_realloc`.
func borrowed(address, length uint32) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), address)), length)
}

//go:wasmimport wasi:http/types@0.2.12 [constructor]fields
func fieldsNew() int32

//go:wasmimport wasi:http/types@0.2.12 [method]fields.append
func fieldsAppend(fields int32, name, value string, result *made)

//go:wasmimport wasi:http/types@0.2.12 [constructor]outgoing-request
func outgoingNew(fields int32) int32

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]outgoing-request
func outgoingDrop(request int32)

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.set-method
func setMethod(request, which int32, other string) int32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.set-scheme
func setScheme(request, some, which int32, other string) int32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.set-authority
func setAuthority(request, some int32, authority string) int32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.set-path-with-query
func setPath(request, some int32, path string) int32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-request.body
func outgoingBody(request int32, result *made)

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-body.write
func bodyWrite(body int32, result *made)

//go:wasmimport wasi:http/types@0.2.12 [static]outgoing-body.finish
func bodyFinish(body, some, trailers int32, result *answered)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]outgoing-body
func outgoingBodyDrop(body int32)

//go:wasmimport wasi:http/outgoing-handler@0.2.12 handle
func handlerHandle(request, some, options int32, result *answered)

//go:wasmimport wasi:http/types@0.2.12 [method]future-incoming-response.subscribe
func futureSubscribe(future int32) int32

//go:wasmimport wasi:http/types@0.2.12 [method]future-incoming-response.get
func futureGet(future int32, result *got)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]future-incoming-response
func futureDrop(future int32)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-response.status
func responseStatus(response int32) int32

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-response.consume
func responseConsume(response int32, result *made)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]incoming-response
func responseDrop(response int32)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-body.stream
func bodyStream(body int32, result *made)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]incoming-body
func bodyDrop(body int32)

//go:wasmimport wasi:io/poll@0.2.12 [method]pollable.block
func pollableBlock(pollable int32)

//go:wasmimport wasi:io/poll@0.2.12 [resource-drop]pollable
func pollableDrop(pollable int32)

//go:wasmimport wasi:io/streams@0.2.12 [method]output-stream.blocking-write-and-flush
func outputWrite(stream int32, bytes string, result *chunk)

//go:wasmimport wasi:io/streams@0.2.12 [resource-drop]output-stream
func outputDrop(stream int32)

//go:wasmimport wasi:io/streams@0.2.12 [method]input-stream.blocking-read
func inputRead(stream int32, most int64, result *chunk)

//go:wasmimport wasi:io/streams@0.2.12 [resource-drop]input-stream
func inputDrop(stream int32)

//go:wasmimport wasi:io/error@0.2.12 [resource-drop]error
func errorDrop(error int32)
