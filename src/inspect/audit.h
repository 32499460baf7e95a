// inspect/audit.h -- is the whole heap sane?
//
// Idea
//   Every floor's own audit(), from the bottom, and then what must hold between them: the frames
//   that the page floor has marked as slabs are those of the stocks' slabs, no more and no fewer.
//   Each floor holds its lock while it looks, one after the other, so other threads may run; what
//   they change between two looks is seen by the stocks' counts of carved and retired slabs, and
//   then it is looked again.
#pragma once

namespace ashlar::inspect {

/// Aborts with one line on standard error where something is wrong. Other threads may run.
void audit();

}  // namespace ashlar::inspect
