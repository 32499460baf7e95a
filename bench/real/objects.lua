-- Trees, tables of tables, closures and string building: what games and configurations do in Lua.

local seed = 1
local function pseudo_random(bound)
  seed = (seed * 1103515245 + 12345) % 2147483648
  return (seed >> 8) % bound
end

local function tree(depth)
  if depth == 0 then return {} end
  return { left = tree(depth - 1), right = tree(depth - 1) }
end

local function size(node)
  return 1 + (node.left and size(node.left) + size(node.right) or 0)
end

local nodes = 0
for _ = 1, 16 do nodes = nodes + size(tree(12)) end

local entities = {}
for i = 1, 20000 do
  local speed = pseudo_random(100)
  entities[i] = {
    name = "entity-" .. pseudo_random(5000),
    position = { x = pseudo_random(1000), y = pseudo_random(1000) },
    step = function(self) self.position.x = self.position.x + speed end,
  }
end
for _ = 1, 3 do
  for _, entity in ipairs(entities) do entity:step() end
end
table.sort(entities, function(a, b)
  if a.position.x ~= b.position.x then return a.position.x < b.position.x end
  return a.name < b.name
end)

local parts = {}
for i, entity in ipairs(entities) do
  parts[#parts + 1] = ("%s:%d,%d"):format(entity.name, entity.position.x, entity.position.y):upper()
end
local text = table.concat(parts, ";")
local digits = 0
for number in text:gmatch("%d+") do digits = digits + #number end

print(nodes, #text, digits, text:sub(1, 60))
