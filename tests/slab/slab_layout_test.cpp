// slab/slab_layout_test.cpp -- proves the arithmetic of slabs for every size that may come: objects
// fit, colours fit, offsets are divided exactly, and little is wasted.

#include "slab/slab_layout.h"

#include <gtest/gtest.h>

#include "slab/slab.h"

namespace {
using namespace ashlar;

using slab::SlabLayout;

size_t lowest_power(size_t size) {
  return size & (~size + 1);
}

TEST(SlabLayout, EveryMultipleOfTheGrainFits) {
  for (size_t size = 16; size <= base::kMaxCached; size += 16) {
    size_t align = std::min(lowest_power(size), base::kFrameSize);
    SlabLayout layout = slab::layout_for(size, align);
    ASSERT_EQ(layout.object_size, size);
    ASSERT_GE(layout.count, 1u) << size;
    ASSERT_LE(layout.count, slab::kMaxObjects) << size;
    ASSERT_GE(layout.colours, 1u) << size;
    size_t last_colour = size_t{layout.colours - 1u} * layout.colour_step;
    ASSERT_LE(last_colour + layout.count * size, layout.bytes()) << size;
    ASSERT_EQ(layout.colour_step % align, 0u) << "size " << size << ": a colour breaks alignment";
  }
}

TEST(SlabLayout, NoSlabWastesMoreThanASixteenth) {
  for (size_t size = 16; size <= base::kMaxCached; size += 16) {
    SlabLayout layout = slab::layout_for(size, 16);
    size_t waste = layout.bytes() - layout.count * size;
    EXPECT_LE(waste * 16, layout.bytes()) << size;
  }
}

TEST(SlabLayout, DivisionIsExactUpToTheLastByte) {
  for (size_t size = 16; size <= base::kMaxCached; size += 16)
    ASSERT_TRUE(slab::divides_exactly(slab::layout_for(size, 16))) << size;
}

// Beyond the objects, too: an address in the tail of a slab is no object's.
TEST(SlabLayout, TheTailBelongsToNoObject) {
  for (size_t size = 16; size <= base::kMaxCached; size += 48) {
    SlabLayout layout = slab::layout_for(size, 16);
    for (size_t offset = layout.count * size; offset < layout.bytes(); offset += 16)
      ASSERT_GE(layout.index_of(offset), layout.count) << size << " at " << offset;
  }
}

TEST(SlabLayout, AShorterSlabHasNoFrameForNothingAndWastesAnEighthAtMost) {
  size_t shortened = 0;
  for (size_t size = 16; size <= base::kMaxCached; size += 16) {
    SlabLayout layout = slab::layout_for(size, 16);
    for (unsigned most = 1; most < layout.frames; ++most) {
      unsigned frames = layout.frames_within(most);
      if (frames == 0) continue;
      ++shortened;
      size_t bytes = size_t{frames} * base::kFrameSize, used = layout.count_in(frames) * size;
      ASSERT_LE(frames, most) << size;
      ASSERT_EQ(layout.count_in(frames), layout.count_in(most)) << size << " within " << most;
      ASSERT_LT(bytes - used, base::kFrameSize) << size << ": a frame that nothing lies in";
      ASSERT_LE((bytes - used) * 8, bytes) << size << " within " << most;
      ASSERT_GE(layout.count_in(frames), 3u) << size << ": a trip for an object or two";
    }
  }
  EXPECT_GT(shortened, 1000u);
  EXPECT_EQ(slab::layout_for(4608, 16).frames_within(4), 0u) << "three in four: a sixth is wasted";
  EXPECT_EQ(slab::layout_for(5120, 16).frames_within(4), 4u);
  EXPECT_EQ(slab::layout_for(16, 16).frames_within(3), 3u);
}

TEST(SlabLayout, AnUnevenDivisionIsCaught) {
  SlabLayout layout = slab::layout_for(48, 16);
  layout.reciprocal -= 1;
  EXPECT_FALSE(slab::divides_exactly(layout));
}

TEST(SlabLayout, ADescriptorHasABitForEachObject) {
  EXPECT_EQ(slab::Slab::bytes_for({.count = 1}), sizeof(slab::Slab) + 8);
  EXPECT_EQ(slab::Slab::bytes_for({.count = 64}), sizeof(slab::Slab) + 8);
  EXPECT_EQ(slab::Slab::bytes_for({.count = 65}), sizeof(slab::Slab) + 16);
  EXPECT_EQ(slab::Slab::bytes_for({.count = 65, .lead = 16}), sizeof(slab::Slab) + 32);
}

}  // namespace
