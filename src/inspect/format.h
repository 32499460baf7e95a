// inspect/format.h -- the snapshot as text: slabinfo-like table, malloc_info's XML.
//
// Idea
//   Text is built in a caller's buffer; who asked writes it where it belongs.
#pragma once

#include "base/text.h"
#include "inspect/stats.h"

namespace ashlar::inspect {

/// A table of the caches in use, as /proc/slabinfo, and of free blocks, as /proc/buddyinfo.
void describe(base::Text& text);

/// The XML that malloc_info(3) promises: one <malloc> element, for programs to read.
void describe_xml(base::Text& text);

}  // namespace ashlar::inspect
