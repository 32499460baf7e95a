-- Queries of the postgres row. They change nothing, so that every run meets the same database.

SELECT city, count(*), sum(cents) FROM customer c JOIN purchase p ON p.customer = c.id
GROUP BY city ORDER BY sum(cents) DESC, city LIMIT 10;

SELECT md5(string_agg(item, ',' ORDER BY cents, id)) FROM purchase;

SELECT item, count(DISTINCT customer), array_length(array_agg(id), 1) FROM purchase
GROUP BY item ORDER BY item COLLATE "C" LIMIT 20;

SELECT count(*), sum(length(document::text)) FROM (
  SELECT jsonb_agg(to_jsonb(p) ORDER BY id) AS document FROM purchase p GROUP BY customer) all_of;

SELECT count(*) FROM purchase WHERE regexp_replace(item, '([0-9])', '<\1>', 'g') LIKE '%<7>%<3>%';

SELECT tag, count(*) FROM customer, unnest(tags) AS tag GROUP BY tag ORDER BY tag;

DO $$
DECLARE
  names text[] := '{}';
  record record;
BEGIN
  FOR record IN SELECT name, city FROM customer ORDER BY id LIMIT 3000 LOOP
    names := array_append(names, upper(record.name) || ' of ' || record.city);
    BEGIN
      IF length(record.city) = 6 THEN RAISE EXCEPTION 'short'; END IF;
    EXCEPTION WHEN OTHERS THEN names[1] := 'changed';
    END;
  END LOOP;
  PERFORM set_config('bench.digest', md5(array_to_string(names, ',')), false);
END $$;
SELECT current_setting('bench.digest');
