// inspect/audit.h -- is the whole heap sane?
//
// Idea
//   Every floor's own audit(), from the bottom. Each holds its lock while it looks, one after the
//   other, so other threads may run; sums over several floors are not compared for that reason.
#pragma once

namespace inspect {

/// Aborts with one line on standard error where something is wrong. Other threads may run.
void audit();

}  // namespace inspect
