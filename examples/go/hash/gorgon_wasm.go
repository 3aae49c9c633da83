// What a task in Go has of Gorgon: its operation as an export, spans, failing. The interface is in wit/task.wit; this
// is what the component model's canonical ABI makes of it.

package main

import "unsafe"

// span starts a named part of the operation; Gorgon times it until what it returns is called.
func span(name string) (end func()) {
	started := spanStart(name)
	return func() { spanDrop(started) }
}

//go:wasmimport gorgon:task/current@0.1.0 [static]span.start
func spanStart(name string) int32

//go:wasmimport gorgon:task/current@0.1.0 [resource-drop]span
func spanDrop(span int32)

// fail marks the running operation as failed.
//
//go:wasmimport gorgon:task/current@0.1.0 fail
func fail(reason string)

// The string that the last operation returned, kept from the collector while the host reads it.
var returned string

var result struct{ text, length uint32 }

//go:wasmexport operation
func exportOperation(n uint64) unsafe.Pointer {
	clear(lent)
	lent = lent[:0]
	returned = operation(n)
	result.text = uint32(uintptr(unsafe.Pointer(unsafe.StringData(returned))))
	result.length = uint32(len(returned))
	return unsafe.Pointer(&result)
}

// What the host has been lent during an operation, kept from the collector until the next one.
var lent [][]byte

// Set when Go's memory is its own: before that, what its start-up asks the host for is put beyond it.
var started bool

func init() { started = true }

//go:linkname sbrk runtime.sbrk
func sbrk(size uintptr) unsafe.Pointer

// By which the host hands over strings and lists.
//
//go:wasmexport cabi_realloc
func exportRealloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	if !started {
		return sbrk((uintptr(size) + 15) &^ 15)
	}
	block := make([]byte, size)
	copy(block, unsafe.Slice((*byte)(old), oldSize))
	lent = append(lent, block)
	return unsafe.Pointer(unsafe.SliceData(block))
}

func main() {}
