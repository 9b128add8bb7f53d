"""One example for each error code: what leads to it and what to type, for ``dutiful explain``."""

from __future__ import annotations

EXAMPLES: dict[str, str] = {
    "DE000": """
try:
    charge.enqueue(order_id=8812)
except dutiful.DutifulError as error:      # all that dutiful raises by itself
    log.error("%s %s", error.code, error)
""",
    "DE100": """
Raised while the module with your tasks is imported; no job exists yet. See the codes DE101 to DE107.
""",
    "DE101": """
@app.task(priority=1000)                   # DE101: priority is from -100 to 100
def send(order_id: int) -> None: ...
""",
    "DE102": """
@app.task(once="receipt:{order}")          # DE102: the task has no argument "order"
def send_receipt(order_id: int) -> None: ...

@app.task(once="receipt:{order_id}")       # right
""",
    "DE103": """
@app.task(timeout="5 parsecs")             # DE103
@app.task(timeout="90s")                   # right; so are 90, "1m30s" and timedelta(seconds=90)
""",
    "DE104": """
@app.task(delivery="exactly_once")         # DE104 in this version: it refuses what it cannot keep
@app.task(once="charge:{order_id}")        # until then: at least once, and a body that is safe to repeat
""",
    "DE106": """
@app.schedule("0 8 * *")                   # DE106: four fields
@app.schedule("0 8 * * *", tz="CET+1")     # DE106: no such zone
@app.schedule("0 8 * * *", tz="Europe/Vienna")   # right
""",
    "DE107": """
app.reconcile(send_receipt, expected="SELECT id FROM orders")             # DE107: no order_id, no due
app.reconcile(send_receipt, expected="SELECT id AS order_id, paid_at AS due FROM orders")     # right
""",
    "DE105": """
$ dutiful worker shop/jobs.py              # DE105: a path is no module
$ dutiful worker shop.jobs:app             # right: the module, and the name of the App in it

If the import fails, the last lines of your own code are printed below the message.
""",
    "DE200": """
Whatever DE2xx says, nothing was stored, and a transaction that you have open goes on unharmed.
See the codes DE201 to DE207.
""",
    "DE201": """
send.enqueue(when=datetime.now())          # DE201: a datetime without time zone
send.enqueue(when=datetime.now(UTC))       # right
""",
    "DE202": """
render.enqueue(pdf=open("big.pdf", "rb").read())      # DE202: above 64 KiB
render.enqueue(pdf_key=storage.put("big.pdf"))        # right: store it elsewhere, pass its name
""",
    "DE203": """
@app.task(once="charge:{order_id}")
def charge(order_id: int, cents: int) -> None: ...

charge.enqueue(8812, 1000)
charge.enqueue(8812, 1500)                 # DE203: the same duty, another amount: which one is meant?

once="charge:{order_id}:{cents}"           # if both are meant
charge.using(on_duplicate="keep").enqueue(8812, 1500)         # if the first stands
charge.using(on_duplicate="replace").enqueue(8812, 1500)      # if the second does, while it is ready
""",
    "DE204": """
$ dutiful enqueue shop.jobs.chrage order_id=8812      # DE204, and the nearest name
$ dutiful enqueue shop.jobs.charge order_id=8812
""",
    "DE205": """
charge.using(run_in="5m", run_at=monday).enqueue(1)   # DE205: two ways to say the same thing
$ dutiful worker shop.jobs:app -q critical=4          # DE205: a weight has a colon: critical:4
""",
    "DE206": """
conn = psycopg.connect(url, autocommit=True)
charge.using(connection=conn).enqueue(8812)           # DE206: it would commit by itself

with conn.transaction():                              # right: with your own rows, or not at all
    conn.execute("INSERT INTO orders …")
    charge.using(connection=conn).enqueue(8812)
""",
    "DE207": """
charge.using(connection=pool).enqueue(8812)           # DE207: a pool is no connection

with pool.connection() as conn, conn.transaction():
    charge.using(connection=conn).enqueue(8812)
""",
    "DE300": """
Something about the database; the codes DE301 to DE315 say what. $ dutiful doctor looks it over.
""",
    "DE301": """
App("shop", "postgresql+psycopg://localhost/shop")    # DE301: SQLAlchemy's way to name a driver
App("shop", "sqlite://jobs.db")                       # DE301: two slashes, so "jobs.db" is a host

App("shop", "postgresql://localhost/shop")
App("shop", "sqlite:///jobs.db")                      # sqlite:////var/lib/jobs.db is absolute
""",
    "DE302": """
$ pip install 'dutiful[postgres]'          # psycopg, for postgresql:// URLs
$ pip install 'dutiful[apsw]'              # apsw, for sqlite:///…?driver=apsw
""",
    "DE303": """
$ dutiful doctor --store postgresql://localhost/shop  # says which part does not answer
$ psql postgresql://localhost/shop -c 'select 1'      # does anything answer there?
""",
    "DE304": """
$ ls -ld . jobs.db*                        # SQLite writes the file, its log, and in the folder
Or the URL leads to a standby: connect to the primary.
""",
    "DE305": """
$ df -h .                                  # free some space, then repeat what was refused
""",
    "DE306": """
PostgreSQL:  SELECT pid, state, xact_start, query FROM pg_stat_activity ORDER BY xact_start;
SQLite:      another program holds a write transaction for longer than 5 s (?timeout=30 waits longer)
""",
    "DE307": """
handle = charge.enqueue(order_id=8812)     # the task has once="charge:{order_id}": repeat it freely

id = app.new_id()                          # or make the id yourself, before
note.using(id=id).enqueue("hello")         # the same id twice is one job
""",
    "DE310": """
$ dutiful migrate --app shop.jobs:app --plan          # what would be done
$ dutiful migrate --app shop.jobs:app
""",
    "DE311": """
$ dutiful migrate --app shop.jobs:app --plan          # what would be done
$ dutiful migrate --app shop.jobs:app      # before the new code starts; old workers go on meanwhile
""",
    "DE312": """
$ pip install --upgrade dutiful            # a newer release has migrated this database
""",
    "DE313": """
App("shop", "sqlite:///site.db?driver=apsw")
sqlite3.connect("site.db")                 # DE313, in one process with the above
App("shop", "sqlite:///site.db")           # right: the same library as the rest of the process
""",
    "DE314": """
App("shop", "sqlite:////mnt/nfs/jobs.db")  # DE314
App("shop", "sqlite:////var/lib/shop/jobs.db")        # a local disk; for several hosts: postgresql://…
""",
    "DE315": """
multiprocessing.set_start_method("spawn")  # or make the App in the child, after the fork
""",
    "DE316": """
$ dutiful migrate --ledger postgresql://db/shop       # once for each database; harmless to repeat
dutiful.make_ledger(connection)            # or in a migration of your own, which commits it
""",
    "DE317": """
The page asked with a limit of two seconds: filter by a queue or a task, or look at a shorter time.
$ dutiful dead list --task mail.send       # the command line has no such limit
""",
    "DE400": """
Something about one run of a job or its result: see the codes DE401 to DE404.
""",
    "DE401": """
def export(rows: int, *, run: dutiful.Run = dutiful.Run.given) -> None:
    for chunk in chunks(rows):
        run.check()                        # raises DE401 when another run owns the job: stop here
        write(chunk)
""",
    "DE402": """
@app.task(timeout="5m")                    # one attempt may take so long
def export(rows: int) -> None: ...
""",
    "DE403": """
handle.result(timeout="30s")               # DE403: not ended yet; the job goes on
$ dutiful job why ID                       # is a worker there that would run it?
""",
    "DE404": """
$ dutiful job show ID                      # what its runs died of
$ dutiful dead retry ID                    # when the cause is mended
""",
    "DE405": """
@app.task(delivery="exactly_once")
def charge(order_id: int, *, run: dutiful.Run = dutiful.Run.given) -> None:
    paid = run.effect("pay", do=pay)       # first: it must be written down by itself before the call
    with run.transaction() as tx:          # within, run.effect is DE405
        tx.execute("UPDATE orders SET paid = :id WHERE id = :order", {"id": paid["id"], "order": order_id})
""",
    "DE406": """
try:
    tx.execute("INSERT INTO payment VALUES (:id)", {"id": 7})
except Exception:
    tx.connection.rollback()               # and then a return: DE406. Let the error go on instead
""",
    "DE407": """
tx.execute("UPDATE account SET cents = 0")
tx.connection.commit()                     # DE407: dutiful commits when the body returns
""",
    "DE408": """
@app.task(delivery="exactly_once")         # without this, run.transaction() is DE408
def credit(n: int, *, run: dutiful.Run = dutiful.Run.given) -> None:
    with run.transaction() as tx: ...
""",
    "DE409": """
def pay(key: str) -> dict:                 # do= of run.effect(…)
    answer = client.post("/charges", json=order, headers={"Idempotency-Key": key})
    if answer.status_code == 402:
        raise dutiful.EffectRefused("card declined")       # DE409: surely not applied; may be tried again
    return answer.json()
""",
    "DE410": """
run.effect("pay", do=pay, remembered="24h")                # DE410: sent again, same key, for so long
run.effect("pay", do=pay, lookup=find_charge)              # or looked up
""",
    "DE411": """
run.effect("pay", do=pay, request={"order": 7, "cents": 1000}, remembered="24h")   # its answer was lost
run.effect("pay", do=pay, request={"order": 7, "cents": 1500}, remembered="24h")   # DE411: which one is it?
""",
    "DE412": """
run.effect("pay", do=http.call(client, "POST", url), remembered="24h")   # DE412: no connection; try again
""",
    "DE413": """
run.effect("pay", do=pay, remembered="5m")                 # DE413: the margin is 5m: never to be used
run.effect("pay", do=pay, remembered="5m", margin="1m")    # above the call's time-out and the worst pause
""",
    "DE414": """
run.effect("export", do=lambda key: bucket.put(key, file))        # DE414: done, but what it gave is no JSON
run.effect("export", do=lambda key: bucket.put(key, file).etag)   # give what is small and plain
""",
    "DE416": """
@app.task(delivery="exactly_once")
def charge(order_id: int, *, tx: Transaction) -> None:
    threading.Timer(5, tx.execute, ["UPDATE …"]).start()       # DE416: by then the body has returned
    tx.execute("UPDATE …")                                     # inside the body
""",
    "DE415": """
def find_charge(key: str) -> dict | None:  # lookup= of run.effect(…): the result, None for "surely not"
    answer = client.get(f"/charges/{key}")
    if answer.status_code >= 500:
        raise dutiful.Unsure("the provider is down")       # DE415: the job is in doubt
    return answer.json() if answer.status_code == 200 else None
""",
    "DE500": """
A person's verb was refused, and nothing changed: see the codes DE501 to DE505.
""",
    "DE501": """
$ dutiful job list --task shop.jobs.charge # finished jobs are kept for 7 days, or App(keep=…)
""",
    "DE502": """
$ dutiful job cancel ID                    # DE502: it is running; only what nobody has begun can be cancelled
$ dutiful job show ID                      # what became of it meanwhile
""",
    "DE503": """
$ dutiful dead retry ID                    # DE503: job OTHER has the same once= key and is in its place
$ dutiful job show OTHER                   # if it does the work, there is nothing to retry
""",
    "DE504": """
$ dutiful doubt refute ID                  # DE504: its old run may still be at work
$ dutiful doubt show ID                    # which worker had it, and what is known of that
$ dutiful doubt refute ID --accept-risk    # when you have seen to it that the old process is gone
""",
    "DE505": """
$ dutiful doubt resume ID                  # DE505: an at_most_once body is never run on
$ dutiful doubt confirm ID                 # it was done; or refute (surely not), or waive (given up)
""",
    "DE480": """
dutiful.compare_and_set(conn, "article", key={"id": 7}, expected={"text": read}, new={"text": written})
# DE480: the text is not what was read. In a task, let it go through: it runs again soon, uncharged.
""",
    "DE580": """
$ dutiful lock break import --reason hung  # DE580: nobody holds it
$ dutiful lock list                        # what is held, and who waits
""",
    "DE700": """
Something about a lock by name: see the codes DE701 to DE703.
""",
    "DE701": """
with app.lock("import", wait="10s"):       # DE701 after 10 s: it names who holds it
with app.lock("import", wait=0):           # DE701 at once
""",
    "DE702": """
with app.lock("import") as held:
    for row in rows:
        held.check()                       # DE702: stop, another may be at work
        dutiful.write_if_newer(conn, "total", key={"id": 1}, number=("grant_no", held.grant_no))
""",
    "DE703": """
with app.lock("import", slots=3): ...      # by one program
with app.lock("import", slots=2): ...      # DE703 by another, while the first holds it
""",
    "DE506": """
$ dutiful schedule resume report           # DE506: it is not paused
$ dutiful schedule run report --at 2026-01-15T07:00Z   # DE506, if its ledger has no such occurrence
$ dutiful schedule show report             # its ledger
""",
    "DE507": """
$ dutiful reconcile send_reciept           # DE507: there is none of that name
$ dutiful reconcile --approve 17           # DE507, unless the governor stopped pass 17 and nobody approved it
$ dutiful reconcile --list                 # which there are, and what their last passes found
""",
    "DE460": """
@app.task()
def send_all(day: date, *, run: Run) -> None:
    for one in due(day):
        run.check()                        # DE460 after: dutiful job cancel ID; let it go through
        send(one)
""",
    "DE560": """
$ dutiful queue pause maill --reason "…"   # DE560: there is no such queue
$ dutiful queue list                       # how it is spelt
""",
    "DE600": """
Something about a key of dutiful.once or its block: see the codes DE601 to DE603.
""",
    "DE601": """
with dutiful.once(conn, "charge:8812", request={"cents": 1000}) as turn: ...
with dutiful.once(conn, "charge:8812", request={"cents": 1500}) as turn: ...     # DE601: which one is meant?
with dutiful.once(conn, "charge:8812:1500") as turn: ...                         # if both are
""",
    "DE602": """
with dutiful.once(conn, "charge:8812") as turn:
    conn.execute(…)
    conn.commit()                          # DE602, when the block ends: the key belongs to the transaction

with conn, dutiful.once(conn, "charge:8812") as turn:  # right: the code around it commits
    conn.execute(…)
""",
    "DE603": """
with dutiful.once(conn, "charge:8812") as turn:
    if turn.first:                         # without this, DE603 for everybody but the first
        turn.result = charge()
""",
    "DE800": """
Something about a person's verb, which the rules for people refuse: see the codes DE801 to DE811.
""",
    "DE801": """
Ops(app, Operator("ann", perms="viewer")).retry(job_id)        # DE801: a viewer only looks
Ops(app, Operator("ann", perms="operator")).retry(job_id)
""",
    "DE802": """
$ dutiful web --read-only                  # its page refuses every verb with DE802
""",
    "DE803": """
ops.retry(job_id, seen=rev)                # DE803: it runs again already, because somebody was quicker
ops.retry(job_id, seen=Seen.of(ops.job(job_id)))   # as it is now
""",
    "DE804": """
once = action_id()
ops.retry(a, action_id=once); ops.retry(a, action_id=once)     # done once
ops.discard(b, reason="…", action_id=once)                     # DE804: an id of its own, please
""",
    "DE805": """
$ dutiful dead discard ID                  # DE805
$ dutiful dead discard ID --reason "the customer left"
""",
    "DE806": """
$ dutiful bulk watch 0190163d              # DE806: the whole id, as bulk list shows it
$ dutiful bulk list
""",
    "DE807": """
$ dutiful bulk abort ID                    # DE807: it is done already
$ dutiful bulk list
""",
    "DE808": """
$ dutiful dead ack 3fa9c1 --note "…" --until 400d   # DE808: at most 90 days; it lapses so that somebody looks
""",
    "DE809": """
$ dutiful dead edit ID order_id=8813       # DE809, if that changes its key: it would be another duty
$ dutiful enqueue charge order_id=8813     # then this is a new job, and the old one is to be discarded
""",
    "DE810": """
$ dutiful dead retry ID                    # DE810: it may have charged the card already
$ dutiful dead retry ID --choice retry     # somebody looked, and says that this is right
""",
    "DE811": """
$ dutiful check --waive shop.report late --owner ann                # DE811: until when, and why?
$ dutiful check --waive shop.report late --owner ann --until 90d --because "it may run at any time"
""",
    "DE900": """
Something about the web page by itself: see the codes DE901 and DE902, and what the message says.
$ dutiful web --bind 127.0.0.1:0           # port 0: any that is free
""",
    "DE901": """
$ dutiful web --bind 0.0.0.0:8080          # DE901: all who reach this machine could come in
$ dutiful web --bind 0.0.0.0:8080 --password-file people.txt          # right
""",
    "DE902": """
$ pip install 'dutiful[web]'
""",
}
