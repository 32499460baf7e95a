// slob/slob_shelves.cpp -- how pages with room stand in the rows and lists of their shelves. The
// rest of slob/slob.h is in slob.cpp.
#include <algorithm>

#include "slob/slob.h"

namespace ashlar::slob {

// Whether a page belongs behind another one: by address, but for what is inherited.
bool Slob::is_behind(const SlobPage& page, const SlobPage& other) const {
  bool is_inherited = is_apart_from(page), is_other_inherited = is_apart_from(other);
  return is_inherited == is_other_inherited ? other.frame < page.frame : is_inherited;
}

// A page in a row or a list has more room than it had.
void Slob::note_room(SlobPage& page) {
  Pages& pages = shelf(page.shelf);
  if (page.place == SlobPage::kNoPlace)
    pages.longest = std::max(pages.longest, page.longest());
  else if (uses_rows())
    row_of(page.shelf).set_room(find_place(page), page.longest());
}

// Where it is in its row, of which it knows about where that is.
ASHLAR_NOINLINE unsigned Slob::find_place(SlobPage& page) {
  page.place = static_cast<uint8_t>(row_of(page.shelf).find_page(page.place, frame_number(page)));
  return page.place;
}

// Into the row of its shelf, by address. False where the row is full of pages in front of it.
bool Slob::try_insert(SlobPage& page) {
  uint32_t number = frame_number(page);
  if (!uses_rows() || number > Row::kLast) return false;
  Row& row = row_of(page.shelf);
  unsigned place = row.place_for(number);
  if (place == Row::kMost) return false;
  if (row.count() == Row::kMost) move_to_list(page_at(row.at(Row::kMost - 1)));
  row.insert(place, number, page.longest());
  page.place = static_cast<uint8_t>(place);
  return true;
}

void Slob::remove_from_row(SlobPage& page) {
  row_of(page.shelf).remove(find_place(page));
  page.place = SlobPage::kNoPlace;
}

ASHLAR_NOINLINE void Slob::move_to_list(SlobPage& page) {
  remove_from_row(page);
  insert_in_list(page);
}

// The first pages of a list, while its row has places.
ASHLAR_NOINLINE void Slob::fill_row(Shelf on) {
  const Pages& pages = shelf(on);
  for (SlobPage* page; row_of(on).count() < Row::kMost && (page = pages.list.front()) != nullptr;) {
    if (frame_number(*page) > Row::kLast) return;
    remove_from_list(*page);
    shelve(*page);
  }
}

// What a child has not written to the rows while its own pages came first.
ASHLAR_NOINLINE void Slob::update_rows() {
  are_rows_old_ = false;
  for (unsigned i = 0; i < kShelves; ++i) {
    Row& row = rows_[i];
    for (unsigned place = 0; place < row.count(); ++place)
      row.set_room(place, page_at(row.at(place)).longest());
    fill_row(static_cast<Shelf>(i));
  }
}

// Into the list, behind the pages at lower addresses, as far as it looks.
ASHLAR_NOINLINE void Slob::insert_in_list(SlobPage& page) {
  Pages& pages = shelf(page.shelf);
  SlobPage *before = nullptr, *at = pages.list.front();
  for (unsigned looks = 0; at != nullptr && is_behind(page, *at) && looks < kLooks; ++looks) {
    before = at;
    at = at->next;
  }
  if (before == nullptr)
    pages.list.push_front(page);
  else
    pages.list.push_behind(*before, page);
  if (base::kHasCaches) note_room(page);
}

void Slob::remove_from_list(SlobPage& page) {
  Pages& pages = shelf(page.shelf);
  if (pages.cursor == &page) pages.cursor = page.next;
  pages.list.remove(page);
}

void Slob::shelve(SlobPage& page) {
  if (!base::kHasCaches || !try_insert(page)) insert_in_list(page);
}

// What leaves the row makes place for the first of the list.
void Slob::unshelve(SlobPage& page) {
  Pages& pages = shelf(page.shelf);
  if (pages.newest == &page) pages.newest = nullptr;
  if (!base::kHasCaches || page.place == SlobPage::kNoPlace) return remove_from_list(page);
  remove_from_row(page);
  if (uses_rows() && pages.list.front() != nullptr) fill_row(page.shelf);
}

}  // namespace ashlar::slob
