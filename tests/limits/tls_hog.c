/* limits/tls_hog.c -- a library that takes TLS_BYTES of the loader's static TLS surplus.
 *
 * Built in many copies; together they leave nothing of the surplus for the library under test. */
__thread volatile char hog[TLS_BYTES] __attribute__((tls_model("initial-exec"), aligned(8)));

char hog_touch(void) {
  return hog[0];
}
