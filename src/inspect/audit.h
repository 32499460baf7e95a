// inspect/audit.h -- is the whole heap sane?
//
// Idea
//   Every floor's own audit(), from the bottom, and then what must hold between floors: the frames
//   that the zone says are let are those that slabs and large blocks say they have.
#pragma once

namespace inspect {

/// Aborts with one line on standard error where something is wrong. Other threads may run.
void audit();

}  // namespace inspect
