"""What each real program is asked to do; see programs.py.

Each scenario is a function of a Machine that returns what was observed. It must be the same in
every run on one machine: seeds are fixed, dates are given, timings and addresses are not printed.
"""
import dataclasses
import pathlib
import socket
import subprocess
import typing
import urllib.request

HERE = pathlib.Path(__file__).parent
ALL = {}


@dataclasses.dataclass
class Scenario:
    name: str
    needs: tuple
    quick: bool
    body: typing.Callable


def scenario(*needs, quick=True):
    def register(body):
        ALL[body.__name__] = Scenario(body.__name__, needs, quick, body)
        return body
    return register


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- languages ---------------------------------------------------------------------------------

@scenario("/usr/bin/python3")
def python3(m):
    return m.run("/usr/bin/python3", HERE / "work.py", m.size, extra={"PYTHONHASHSEED": "0"})


@scenario("/usr/bin/python3")
def python3_malloc(m):
    return m.run("/usr/bin/python3", HERE / "work.py", m.size,
                 extra={"PYTHONHASHSEED": "0", "PYTHONMALLOC": "malloc"})


@scenario("lua5.4")
def lua(m):
    return m.run("lua5.4", HERE / "work.lua", m.size)


@scenario("perl")
def perl(m):
    return m.run("perl", HERE / "work.pl", m.size, extra={"PERL_HASH_SEED": "0"})


@scenario("node")
def node(m):
    return m.run("node", HERE / "work.js", m.size)


@scenario("java")
def java(m):
    m.write("Work.java", (HERE / "Work.java").read_text())
    return m.run("java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "Work.java", m.size)


@scenario("bash")
def bash(m):
    return m.run("bash", "-c", """
        declare -A count
        for i in $(seq 1 4000); do
          word="w$((i * 7919 % 613))"; count[$word]=$((count[$word] + 1)); done
        for word in "${!count[@]}"; do echo "$word ${count[$word]}"; done | sort | md5sum
        text=$(printf 'x%.0s' {1..3000}); for i in {1..300}; do text="${text/x/yz}"; done
        echo ${#text} "$(echo "$text" | tr -d y | wc -c)" $( (echo sub; exit 4) ; echo $?)""")


# ---- compilers ---------------------------------------------------------------------------------

CXX_SOURCE = """
#include <algorithm>
#include <map>
#include <regex>
#include <string>
#include <vector>
std::map<std::string, std::vector<int>> table;
bool known(const std::string& s) { return std::regex_match(s, std::regex("[a-z]+(x|y)*")); }
int main() {
  for (int i = 0; i < 100; ++i) table[std::to_string(i * 37 % 11)].push_back(i);
  auto most = std::max_element(table.begin(), table.end(),
      [](auto& a, auto& b) { return a.second.size() < b.second.size(); });
  return known(most->first) ? 0 : static_cast<int>(most->second.size());
}
"""


@scenario("g++")
def gxx(m):
    m.write("unit.cpp", CXX_SOURCE)
    said = m.run("g++", "-std=c++20", "-O1", "-g", "-c", "unit.cpp", "-o", "unit.o")
    said += m.digest("unit.o")
    return said + m.run("g++", "unit.o", "-o", "unit") + m.run("./unit", check=False)


@scenario("gcc")
def gcc(m):
    functions = "\n".join(f"int f{i}(int x) {{ int s = {i}; for (int k = 0; k < x; ++k) "
                          f"s = s * {i + 3} + k % {i % 7 + 2}; return s; }}" for i in range(600))
    m.write("unit.c", functions + "\nint main(void) { return f7(9) & 63; }\n")
    said = m.run("gcc", "-O2", "-c", "unit.c", "-o", "unit.o") + m.digest("unit.o")
    return said + m.run("gcc", "-O0", "unit.o", "-o", "unit") + m.run("./unit", check=False)


@scenario("rustc")
def rustc(m):
    m.write("unit.rs", """
        use std::collections::BTreeMap;
        fn main() {
            let mut map: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            for i in 0..20000u64 {
                map.entry(format!("k{}", i * 7919 % 1000)).or_default().push(i); }
            let hands: Vec<_> = (0..4).map(|t| std::thread::spawn(move ||
                (0..5000u64).map(|i| format!("{}", i * t).len()).sum::<usize>())).collect();
            let sums: Vec<_> = hands.into_iter().map(|h| h.join().unwrap()).collect();
            println!("{} {:?} {:?}", map.len(), sums, map["k613"].iter().sum::<u64>());
        }""")
    said = m.run("rustc", "--edition", "2021", "-O", "-C", "codegen-units=2", "unit.rs",
                 "-o", "unit")
    return said + m.run("./unit")


@scenario("make", "gcc")
def make_j2(m):
    for i in range(24):
        m.write(f"src/part{i}.c", f"int part{i}(int x) {{ return x * {i} + 1; }}\n")
    m.write("src/main.c", "#include <stdio.h>\n" +
            "".join(f"int part{i}(int);\n" for i in range(24)) + "int main(void) { long s = 0;\n" +
            "".join(f"  s += part{i}({i});\n" for i in range(24)) + '  printf("%ld\\n", s); }\n')
    m.write("Makefile", "OBJECTS := $(patsubst src/%.c,%.o,$(sort $(wildcard src/*.c)))\n"
            "all: program\nprogram: $(OBJECTS)\n\t@gcc -o $@ $^\n"
            "%.o: src/%.c\n\t@gcc -O1 -c -o $@ $<\n")
    return m.run("make", "-s", "-j2") + m.run("./program") + m.digest("part7.o")


# ---- tools -------------------------------------------------------------------------------------

@scenario("git")
def git(m):
    identity = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
                {"NAME": "A", "EMAIL": "a@example.org", "DATE": "2020-01-01T00:00:00Z"}.items()}

    def run(*words):
        return m.run("git", "-c", "init.defaultBranch=main", "-c", "gc.auto=0", *words,
                     extra=identity)
    said = run("init", "-q")
    for revision in range(12):
        for i in range(60):
            m.write(f"d{i % 5}/f{i}.txt", f"line {i * revision}\n" * (i * 5 + revision))
        said += run("add", "-A") + run("commit", "-q", "-m", f"revision {revision}")
    said += run("log", "--stat", "--format=%H %s") + run("diff", "HEAD~7", "HEAD")
    said += run("repack", "-adfq", "--threads=2") + run("fsck", "--full")
    return said + run("blame", "d3/f8.txt") + run("grep", "-n", "line 99")


@scenario("sort", "ls")
def coreutils(m):
    lines = "\n".join(f"{i * 7919 % 100003} {'x' * (i % 60)}" for i in range(60000 * m.size))
    m.write("lines", lines + "\n")
    said = m.run("sh", "-c", "sort -n lines | md5sum; sort --parallel=4 -S 1M -k2,2 -k1,1n lines | "
                             "md5sum; sort -u lines | wc -l; rev lines | sort | uniq -c | md5sum; "
                             "split -n 7 lines part; cat part* | cksum; shuf --random-source=lines "
                             "lines | md5sum; tac lines | head -c 1000 | od -c | md5sum")
    return said + m.run("sh", "-c", "ls -R /usr/share /usr/include | md5sum; "
                                    "du -a /usr/include | sort | md5sum; find /usr/share -type f | "
                                    "sort | xargs -n 500 ls -ld | md5sum; dd if=lines bs=64k "
                                    "status=none | gzip -c | gunzip -c | md5sum")


@scenario("tar", "xz", quick=False)
def archives(m):
    return m.run("sh", "-c", "tar -C /usr/include -cf a.tar --sort=name --mtime=@0 --owner=0 "
                             "--group=0 linux && xz -T2 -k a.tar && "
                             "xz -dc a.tar.xz | cmp - a.tar && md5sum a.tar a.tar.xz")


@scenario("sqlite3")
def sqlite3(m):
    rows = 40000 * m.size
    return m.run("sqlite3", "base.db", stdin=f"""
        create table item(id integer primary key, name text, weight real, parent int);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows})
          insert into item select i, 'name ' || (i * 7919 % 10007), i * 1.5, i / 7 from n;
        create index by_name on item(name); create index by_parent on item(parent);
        select count(*), sum(weight), min(name), max(name) from item;
        select name, count(*) c from item group by name order by c desc, name limit 20;
        select a.id, b.name from item a join item b on b.parent = a.id where a.id % 997 = 0
          limit 99;
        update item set name = upper(name) || hex(id) where id % 3 = 0;
        delete from item where id % 5 = 0; vacuum; pragma integrity_check;
        select group_concat(name, ',') from (select name from item order by name limit 500);
        select count(*), sum(length(name)) from item;""".encode())


@scenario("gs", quick=False)
def ghostscript(m):
    m.write("page.ps", "%!PS\n/Times-Roman findfont 12 scalefont setfont\n" + "".join(
        f"newpath {72 + i % 400} {700 - i % 600} moveto (line {i}) show\n" for i in range(2000)) +
            "showpage\n")
    return m.run("gs", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=ppmraw", "-sOutputFile=page.ppm",
                 "page.ps") + m.run("md5sum", "page.ppm")


@scenario("ffmpeg", quick=False)
def ffmpeg(m):
    return m.run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=duration=3:size=320x240",
                 "-threads", "2", "-c:v", "mpeg4", "-bitexact", "-f", "md5", "-")


@scenario("valgrind", "lua5.4")
def valgrind(m):
    said = m.run("valgrind", "-q", "--tool=none", "lua5.4", HERE / "work.lua", 0)
    return said + m.run("valgrind", "-q", "--error-exitcode=9", "--undef-value-errors=no", "lua5.4",
                        HERE / "work.lua", 0)


# ---- servers -----------------------------------------------------------------------------------

@scenario("redis-server", "redis-cli", "redis-benchmark")
def redis(m):
    path = m.folder / "redis.sock"
    m.start("redis-server", "--port", 0, "--unixsocket", path, "--save", "", "--appendonly", "no",
            "--enable-debug-command", "yes")
    client = ["redis-cli", "-s", path]
    m.await_true(path.exists, "redis's socket")
    commands = "".join(f"SET key:{i} {'v' * (i % 3000)}\nLPUSH list:{i % 17} {i}\n"
                       f"HSET hash:{i % 29} field{i} {i * 3}\nZADD rank {i * 7919 % 1009} m{i}\n"
                       f"APPEND grow:{i % 5} {'ab' * (i % 50)}\n" for i in range(4000 * m.size))
    said = m.run(*client, stdin=commands.encode())[-200:]
    said += m.run(*client, "DEBUG", "DIGEST") + m.run(*client, "DBSIZE")
    said += m.run(*client, "ZRANGE", "rank", 0, 20, "WITHSCORES")
    m.run("redis-benchmark", "-s", path, "-q", "-n", 20000 * m.size, "-c", 20, "-P", 8, "-d", 300,
          "-t", "set,get,lpush,lrange_100,mset,hset")
    m.run(*client, "FLUSHALL")
    said += m.run(*client, stdin=commands.encode())[-200:] + m.run(*client, "DEBUG", "DIGEST")
    m.run(*client, "BGSAVE")  # forks
    m.await_true(lambda: "rdb_bgsave_in_progress:0" in m.run(*client, "INFO", "persistence"),
                 "the end of redis's BGSAVE")
    said += "bgsave ok" * ("rdb_last_bgsave_status:ok" in m.run(*client, "INFO", "persistence"))
    return said + m.run(*client, "DEBUG", "RELOAD") + m.run(*client, "DEBUG", "DIGEST")


@scenario("memcached")
def memcached(m):
    path = m.folder / "memcached.sock"
    m.start("memcached", "-u", "root", "-s", path, "-m", 64, "-t", 4)
    m.await_true(path.exists, "memcached's socket")
    said = []
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        stream = line.makefile("rwb")
        for i in range(8000 * m.size):
            value = (b"%d-" % i) * (i % 200 + 1)
            stream.write(b"set k%d 0 0 %d\r\n%s\r\n" % (i % 3000, len(value), value))
            stream.flush()
            said.append(stream.readline())
            if i % 3 == 0:
                stream.write(b"get k%d\r\n" % (i * 7 % 3000))
                stream.flush()
                reply = stream.readline()
                said.append(reply)
                while reply != b"END\r\n":
                    reply = stream.readline()
                    said.append(reply)
    return b"".join(said).decode()


@scenario("nginx")
def nginx(m):
    port = free_port()
    m.folder.chmod(0o755)
    for i in range(20):
        m.write(f"www/f{i}.txt", f"file {i}\n" * (i * i * 20))
    m.write("nginx.conf", f"""worker_processes 2; daemon off; pid nginx.pid; error_log error.log;
        events {{ worker_connections 64; }}
        http {{ access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
          uwsgi_temp_path t4; scgi_temp_path t5; gzip on; gzip_types text/plain; gzip_min_length 1;
          server {{ listen 127.0.0.1:{port}; root www; autoindex on; autoindex_exact_size on;
            location /proxy/ {{ proxy_pass http://127.0.0.1:{port}/; }} }} }}""")
    m.start("nginx", "-p", m.folder, "-c", m.folder / "nginx.conf", "-e", "error.log")

    def fetch(path, encoding="identity"):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}",
                                         headers={"Accept-Encoding": encoding})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return f"{path} {reply.status} " + reply.read().hex() + "\n"
        except urllib.error.HTTPError as error:
            return f"{path} {error.code}\n"

    def answers():
        try:
            return fetch("/f1.txt") != ""
        except OSError:
            return False
    m.await_true(answers, "nginx's port")
    said = ""
    for turn in range(4 * m.size):
        for i in range(22):
            said += fetch(f"/f{i}.txt") + fetch(f"/proxy/f{i}.txt", "gzip")
    return said


POSTGRES = "/usr/lib/postgresql/15/bin/"


@scenario(POSTGRES + "initdb", POSTGRES + "postgres", POSTGRES + "psql", "setpriv", quick=False)
def postgres(m):
    user = "postgres" if subprocess.run(["id", "postgres"], capture_output=True).returncode == 0 \
        else "nobody"
    group = subprocess.run(["id", "-gn", user], capture_output=True, text=True).stdout.strip()
    as_user = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    subprocess.run(["chown", "-R", f"{user}:{group}", m.folder], check=True)
    m.run(*as_user, POSTGRES + "initdb", "-D", "data", "-U", "admin", "-A", "trust", "-N",
          "--no-instructions")
    m.start(*as_user, POSTGRES + "postgres", "-D", "data", "-c", "listen_addresses=",
            "-k", m.folder, "-F", "-c", "max_parallel_workers_per_gather=2",
            "-c", "min_parallel_table_scan_size=0")
    client = [POSTGRES + "psql", "-X", "-A", "-t", "-h", m.folder, "-U", "admin", "-d", "postgres"]
    m.await_true(lambda: m.run(*client, "-c", "select 1", check=False).startswith("[0]"),
                 "postgres")
    return m.run(*client, "-v", "ON_ERROR_STOP=1", stdin=b"""
        create table item(id int primary key, name text, tags text[]);
        insert into item select i, 'name ' || (i * 7919 % 10007), array['a' || i, 'b']
          from generate_series(1, 50000) i;
        create index on item(name); analyze item;
        select count(*), min(name), max(name) from item;
        select name, count(*) from item group by name order by 2 desc, 1 limit 20;
        select a.id, b.name from item a join item b on b.id = a.id * 7
          where a.id % 97 = 0 order by 1;
        update item set name = upper(name) || repeat('x', id % 500) where id % 3 = 0;
        select md5(string_agg(name, ',' order by id)) from item;
        select sum(length(j::text)) from (select to_jsonb(item) j from item) s;
        select count(*) from item where name ~ '^NAME.*x{20}$';
        vacuum full item; delete from item where id % 2 = 0; select count(*) from item;""")
