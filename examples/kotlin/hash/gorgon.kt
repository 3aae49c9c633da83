// What a task in Kotlin has of Gorgon: its operation as an export. The interface is in wit/task.wit; this is what the
// component model's canonical ABI makes of it.

@file:OptIn(ExperimentalWasmInterop::class, UnsafeWasmMemoryApi::class)

import kotlin.wasm.ExperimentalWasmInterop
import kotlin.wasm.WasmExport
import kotlin.wasm.unsafe.*

@WasmExport("operation")
fun exportOperation(n: Long): Int = withScopedMemoryAllocator { allocator ->
    lent = allocator.allocate(LENT)
    val text = operation(n.toULong()).encodeToByteArray()
    val address = allocator.allocate(text.size)
    text.forEachIndexed { i, byte -> (address + i).storeByte(byte) }
    // The address of the result, and its length. The host reads it before the memory is given to anybody else.
    val result = allocator.allocate(8)
    result.storeInt(address.address.toInt())
    (result + 4).storeInt(text.size)
    result.address.toInt()
}

// What stands between WASI's two previews keeps its memory for good, and Kotlin only has memory for a while. So each
// operation's outermost allocator begins with the same block, and Kotlin's calls of WASI take their memory behind that.
private var lent = Pointer(0u)
private var used = 0
private const val LENT = 256 * 1024

@WasmExport("cabi_realloc")
fun exportRealloc(old: Int, oldSize: Int, align: Int, size: Int): Int {
    val from = (used + align - 1) and -align
    used = from + size
    check(old == 0 && used <= LENT) { "more is asked for than there is to lend" }
    return (lent + from).address.toInt()
}
