# Records, strings, regular expressions and JSON: the part of a web application that allocates.

require 'json'

Item = Struct.new(:id, :name, :tags, :price)

@seed = 1
def pseudo_random(bound)
  @seed = (@seed * 1_103_515_245 + 12_345) % 2_147_483_648
  (@seed >> 8) % bound
end

WORDS = %w[stone wall arch joint mortar quarry chisel course corner lintel vault pier].freeze

items = Array.new(12_000) do |id|
  words = Array.new(3 + pseudo_random(6)) { WORDS[pseudo_random(WORDS.size)] }
  Item.new(id, words.join(' '), words.uniq.map { |word| "#{word}-#{pseudo_random(50)}" }, pseudo_random(90_000))
end

by_tag = Hash.new { |hash, key| hash[key] = [] }
items.each { |item| item.tags.each { |tag| by_tag[tag] << item } }

report = +''
by_tag.sort.each do |tag, tagged|
  dearest = tagged.max_by { |item| [item.price, item.id] }
  report << "#{tag.capitalize}: #{tagged.size}, #{dearest.name.gsub(/[aeiou]+/) { |found| found.upcase }}\n"
end

rounds = (1..4).map do |round|
  text = JSON.generate(items.map { |item| item.to_h.merge(round: round, slug: item.name.tr(' ', '_') * round) })
  JSON.parse(text, symbolize_names: true).sum { |record| record[:slug].length + record[:tags].size }
end

# A page is kept for a while and then replaced, as in a cache.
pages = {}
20_000.times do
  key = pseudo_random(1500)
  item = items[pseudo_random(items.size)]
  pages[key] = "<h1>#{item.name}</h1>" + item.tags.map { |tag| "<a href='/#{tag}'>#{tag}</a>" }.join * (1 + key % 9)
end

puts items.size, by_tag.size, report.length, report.sum(32), rounds.inspect
puts pages.size, pages.values.sum(&:length), pages.values.join.scan(/href='([^']+)'/).flatten.tally.size
