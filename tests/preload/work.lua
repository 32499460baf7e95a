-- Work for lua: tables, strings, closures, garbage; prints only what is the same each run.
local size = tonumber(arg[1])
local n = size == 0 and 300 or 60000 * size

local function tree(depth)
  if depth == 0 then return {} end
  return { tree(depth - 1), tree(depth - 1) }
end

local function count(t)
  return t[1] and 1 + count(t[1]) + count(t[2]) or 1
end

local words, keys = {}, {}
for i = 1, n do
  local key = "k" .. (i * 7919 % 5003)
  words[key] = (words[key] or "") .. (i % 10)
end
for key in pairs(words) do keys[#keys + 1] = key end
table.sort(keys)
local sum = 0
for i, key in ipairs(keys) do sum = (sum * 31 + #words[key] * i) % 1000003 end
print(#keys, sum, words[keys[1]])
print(count(tree(size == 0 and 6 or 14)))
local parts = {}
for i = 1, n do parts[#parts + 1] = string.format("%d:%x", i, i * 31) end
local text = table.concat(parts, ",")
print(#text, #text:gsub("%d", "ab"), select(2, text:gsub(",", ";")))
collectgarbage()
print(text:reverse():sub(1, 40))
