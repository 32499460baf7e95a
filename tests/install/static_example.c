#include <ashlar/ashlar.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  char* text = malloc(64);
  if (text == NULL) return 1;
  snprintf(text, 64, "malloc is Ashlar %s", ashlar_version());
  puts(text);
  free(text);
  return 0;
}
