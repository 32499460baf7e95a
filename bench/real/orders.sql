-- A small shop in memory: filled, indexed, queried, updated.

CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE purchase (id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, cents INTEGER);

WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
INSERT INTO customer SELECT i, 'customer ' || (i * 7919 % 10007), 'city ' || (i * 31 % 97) FROM n;

WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO purchase
SELECT i, 1 + i * 7907 % 5000, 'item ' || (i * 104729 % 1009), 100 + i * 6151 % 90000 FROM n;

CREATE INDEX purchase_of ON purchase (customer, cents);
CREATE INDEX purchase_item ON purchase (item);

SELECT city, count(*), sum(cents) FROM customer JOIN purchase ON customer = customer.id
GROUP BY city ORDER BY sum(cents) DESC, city LIMIT 10;

SELECT item, group_concat(DISTINCT city) FROM purchase JOIN customer ON customer = customer.id
WHERE cents > 80000 GROUP BY item ORDER BY item LIMIT 20;

UPDATE purchase SET item = item || ' (discount)', cents = cents * 9 / 10 WHERE cents % 7 = 0;
DELETE FROM purchase WHERE customer % 11 = 3;

SELECT count(*), sum(cents), max(item), sum(length(item)) FROM purchase;
SELECT name, (SELECT count(*) FROM purchase WHERE customer = customer.id) AS purchases
FROM customer ORDER BY purchases DESC, name LIMIT 10;
