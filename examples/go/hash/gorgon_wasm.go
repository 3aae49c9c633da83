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
	lent.used = 0
	returned = operation(n)
	result.text = uint32(uintptr(unsafe.Pointer(unsafe.StringData(returned))))
	result.length = uint32(len(returned))
	return unsafe.Pointer(&result)
}

// Where strings and lists lie that the host hands over, until the next operation: beside Go's own memory. To allocate
// there could start its collector, which asks for the time; but while the host hands over, nobody may call it.
var lent struct {
	block      unsafe.Pointer
	size, used uintptr
}

// What was handed over before belongs to what stands between WASI's two previews, for good.
func init() { lent.size = 0 }

//go:linkname sbrk runtime.sbrk
func sbrk(size uintptr) unsafe.Pointer

// By which the host hands over.
//
//go:wasmexport cabi_realloc
func exportRealloc(old unsafe.Pointer, oldSize, align, size uint32) unsafe.Pointer {
	needed := (uintptr(size) + 15) &^ 15
	if lent.used+needed > lent.size {
		lent.size = max(2*lent.size, needed, 64<<10)
		lent.block, lent.used = sbrk(lent.size), 0
	}
	given := unsafe.Add(lent.block, lent.used)
	lent.used += needed
	copy(unsafe.Slice((*byte)(given), size), unsafe.Slice((*byte)(old), oldSize))
	return given
}

func main() {}
