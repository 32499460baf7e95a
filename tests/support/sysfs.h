// support/sysfs.h -- a folder in which a test writes what the kernel would say, and CPUs to run on.
#pragma once

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace test {

class Sysfs {
 public:
  Sysfs() {
    char name[] = "/tmp/ashlar-sysfs-XXXXXX";
    root_ = mkdtemp(name);
  }
  ~Sysfs() { std::filesystem::remove_all(root_); }
  Sysfs(const Sysfs&) = delete;
  Sysfs& operator=(const Sysfs&) = delete;

  const char* root() const { return root_.c_str(); }
  void write(const std::string& file, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path(root_ + file).parent_path());
    std::ofstream(root_ + file) << content;
  }
  /// A memory node of this number.
  void add_node(unsigned number, const std::string& cpus, const std::string& distances) {
    const std::string folder = "/sys/devices/system/node/node" + std::to_string(number);
    write(folder + "/cpulist", cpus + "\n");
    write(folder + "/distance", distances + "\n");
  }
  void set_online(const std::string& nodes) {
    write("/sys/devices/system/node/online", nodes + "\n");
  }

 private:
  std::string root_;
};

/// The CPUs that this process may run on.
inline std::vector<int> allowed_cpus() {
  cpu_set_t set;
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  return cpus;
}

/// Keeps the calling thread on one CPU for as long as it lives.
class OnCpu {
 public:
  explicit OnCpu(int cpu) {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
  }
  ~OnCpu() { sched_setaffinity(0, sizeof before_, &before_); }
  OnCpu(const OnCpu&) = delete;
  OnCpu& operator=(const OnCpu&) = delete;

 private:
  cpu_set_t before_;
};

}  // namespace test
