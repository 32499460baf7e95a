// bench/harness/empty.c -- nothing: the source of build/bench/libempty.so.
//
// Preloaded, it costs what every preloaded library costs: the allocator "glibc+empty".
