/* conform/late_cxx.c -- a C program that opens a library written in C++, for itself alone.

   A user would notice: a server in C whose plugins are in C++ dies by a signal where operator new
   must throw, and the plugin's new_handler is never called.

   usage: late_cxx PLUGIN FUNCTION, a library of late_cxx_plugin.cpp and one of its functions
          late_cxx, which calls operator new itself, where nobody could throw */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

int main(int count, char** words) {
  if (dlsym(RTLD_DEFAULT, "_ZSt15get_new_handlerv") != NULL) {
    puts("not run: the program has a C++ runtime from the start");
    return 77;
  }
  if (count == 1) {
    void* (*make)(size_t) = (void* (*)(size_t))dlsym(RTLD_DEFAULT, "_Znwm");
    return make == NULL || make(PTRDIFF_MAX) != NULL;
  }
  void* plugin = count == 3 ? dlopen(words[1], RTLD_NOW | RTLD_LOCAL) : NULL;
  if (plugin == NULL) {
    printf("late_cxx: %s\n", count == 3 ? dlerror() : "no plugin is named");
    return 1;
  }
  const char* (*check)(void) = (const char* (*)(void))dlsym(plugin, words[2]);
  if (check == NULL) {
    printf("late_cxx: %s\n", dlerror());
    return 1;
  }
  /* Again: what was looked up may have left something behind. */
  for (int i = 0; i < 3; ++i) {
    const char* fault = check();
    if (fault != NULL) {
      printf("late_cxx: %s\n", fault);
      return 1;
    }
  }
  return dlclose(plugin);
}
