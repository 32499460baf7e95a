// bench/trace/plan.cpp -- see plan.h.

#include "plan.h"

#include <algorithm>

#include "reader.h"

namespace trace {

namespace {

constexpr uint64_t kMostSamples = 200;
constexpr uint64_t kOperationsPerSample = 100;  // At least, or reading the clock would show.
constexpr uint32_t kNone = UINT32_MAX;

/// Numbers that are given out, and given out again in a later epoch than that of their return.
class Numbers {
 public:
  explicit Numbers(uint32_t& most) : most_(most) {}

  uint32_t take() { return free_.is_empty() ? most_++ : free_.pop(); }
  void put(uint32_t number) { returned_.push(number); }
  void end_epoch() {
    while (!returned_.is_empty()) free_.push(returned_.pop());
  }

 private:
  uint32_t& most_;
  MappedArray<uint32_t> free_, returned_;
};

class Planner {
 public:
  Planner(const char* path, const Summary& summary, Plan& plan)
      : path_(path), summary_(summary), plan_(plan), slots_(plan.slots), seats_(plan.seats) {
    seat_of_.resize(summary.threads.size());
    std::fill(seat_of_.begin(), seat_of_.end(), kNone);
    if (!seat_of_.is_empty()) seat_of_[0] = 0;
    at_seat_.push({});
    const uint64_t room = summary.operations / kOperationsPerSample;
    samples_ = std::clamp(room, uint64_t{1}, kMostSamples);
  }

  void add(const Record& record) {
    if (seat_of_[record.thread] == kNone) start_thread(record.thread);
    const uint32_t seat = seat_of_[record.thread];
    plan_.ops.push(op(record));
    op_seats_.push(seat);
    const Life& life = summary_.threads[record.thread];
    if (records_++ == life.last_record && life.is_ended && record.thread != 0) {
      at_seat_[seat].ends_thread = true;
      seats_.put(seat);
    }
    if (!is_operation(record.kind)) return;
    ++operations_;
    const uint64_t share = operations_ * samples_ / std::max<uint64_t>(summary_.operations, 1);
    if (share > latest_share_ || operations_ == summary_.peak_operation) end_epoch(true);
    latest_share_ = share;
  }

  void end() { end_epoch(true); }

 private:
  struct AtSeat {
    size_t ops;  // In this epoch.
    size_t next;
    bool starts_thread, ends_thread;
  };

  void start_thread(uint32_t thread) {
    end_epoch(false);
    const uint32_t seat = seats_.take();
    seat_of_[thread] = seat;
    if (seat == at_seat_.size()) at_seat_.push({});
    at_seat_[seat].starts_thread = true;
  }

  Op op(const Record& record) {
    Op op{};
    op.kind = static_cast<uint8_t>(record.kind);
    op.align_log2 = record.align_log2;
    op.size = std::max<uint64_t>(record.size, 1);
    if (!is_operation(record.kind)) return op;
    if (plan_.slots == kNone) refuse(path_, "more objects at once than a replay can have");
    if (record.kind == Kind::kFree) {
      live_bytes_ -= record.size;
      op.slot = slot_of_[record.object];
      slots_.put(op.slot);
    } else if (record.kind == Kind::kRealloc) {
      live_bytes_ += record.size - record.old_size;
      op.slot = slot_of_[record.object];
      op.to = slot_of_[record.object] = slots_.take();
      slots_.put(op.slot);
    } else {
      live_bytes_ += record.size;
      op.slot = slots_.take();
      slot_of_.push(op.slot);
    }
    return op;
  }

  void end_epoch(bool is_sampled) {
    const size_t first_segment = plan_.segments.size();
    if (first_op_ < plan_.ops.size()) {
      add_segments();
      first_op_ = plan_.ops.size();
      plan_.epochs.push({first_segment, plan_.segments.size(), operations_, live_bytes_, false});
      slots_.end_epoch();
      seats_.end_epoch();
    }
    if (!plan_.epochs.is_empty()) plan_.epochs.back().is_sampled |= is_sampled;
  }

  /// Sorts the operations of the epoch by seat; those of one seat keep their order.
  void add_segments() {
    busy_.forget();
    for (const uint32_t seat : op_seats_) {
      if (at_seat_[seat].ops++ == 0) busy_.push(seat);
    }
    size_t next = first_op_;
    for (const uint32_t seat : busy_) {
      AtSeat& at = at_seat_[seat];
      at.next = next - first_op_;
      plan_.segments.push({next, next + at.ops, seat, at.starts_thread, at.ends_thread});
      next += at.ops;
    }
    if (busy_.size() > 1) {
      sorted_.resize(op_seats_.size());
      for (size_t i = 0; i < op_seats_.size(); ++i) {
        sorted_[at_seat_[op_seats_[i]].next++] = plan_.ops[first_op_ + i];
      }
      std::copy(sorted_.begin(), sorted_.end(), plan_.ops.begin() + first_op_);
    }
    for (const uint32_t seat : busy_) at_seat_[seat] = {};
    op_seats_.forget();
  }

  const char* path_;
  const Summary& summary_;
  Plan& plan_;
  Numbers slots_, seats_;
  MappedArray<uint32_t> slot_of_;   // By the object's number.
  MappedArray<uint32_t> seat_of_;   // By the thread's number; kNone before it begins.
  MappedArray<uint32_t> op_seats_;  // Of the operations of this epoch, in the order of the trace.
  MappedArray<AtSeat> at_seat_;
  MappedArray<uint32_t> busy_;
  MappedArray<Op> sorted_;
  size_t first_op_ = 0;  // Of this epoch.
  uint64_t samples_;
  uint64_t records_ = 0, operations_ = 0, live_bytes_ = 0, latest_share_ = 0;
};

}  // namespace

void make_plan(const char* path, const MappedArray<uint8_t>& bytes, const Summary& summary,
               Plan& plan) {
  Reader reader(path, bytes);
  Planner planner(path, summary, plan);
  for (Record record; reader.next(record);) planner.add(record);
  planner.end();
}

}  // namespace trace
