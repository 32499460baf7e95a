// include/parts_test.cpp -- the C++ headers in a program of several parts whose names are hidden
// from one another (-fvisibility=hidden), as plugins and large programs are built.
//
// A user would notice: acquire() that gives a null pointer where a constructor of another part has
// thrown; or pmr containers that copy where they could move.

#include <gtest/gtest.h>

#include <memory_resource>

#include "hidden_part.h"

namespace {

TEST(Parts, WhatAConstructorOfAnotherPartThrowsArrives) {
  part::fail_next();
  EXPECT_THROW((void)part::things().acquire(), int);
}

TEST(Parts, ShareOneResource) {
  EXPECT_EQ(*part::resource(), *ashlar::shared_resource());
}

}  // namespace
