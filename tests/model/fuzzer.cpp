// model/fuzzer.cpp -- a model as a libFuzzer target: tests/fuzz compiles it once for each, with
// MODEL_HEADER and MODEL naming the model. The bytes are the same programs that the seeded tests
// run.

#include MODEL_HEADER

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  test::MODEL::run(test::decode<test::MODEL>(bytes, size));
  return 0;
}
