# SPDX-License-Identifier: Apache-2.0
"""A million idle sessions: they cost disk, and nothing else."""
from parts.report import Section, ms
from parts.stand import Stand

FEW = 1000
RATE = 500
WINDOWS = 3  # of each load: the median of their quantiles counts


def run(options):
    s = Section("idle-sessions", f"{options.sessions:,} idle sessions")
    with Stand(options) as stand:
        few_rss, few_bytes = fresh_rss(stand), table_bytes(stand)
        few = stand.windows(WINDOWS, lanes=64, rate=RATE, sessions=FEW, tag="warm", warm=1)
        fill(stand, options.sessions)
        many_rss, many_bytes = fresh_rss(stand), table_bytes(stand)
        many = stand.windows(WINDOWS, lanes=64, rate=RATE, sessions=FEW, tag="warm", warm=1)
        cold = stand.windows(WINDOWS, lanes=64, rate=RATE, sessions=options.sessions, tag="idle", warm=0, scatter=1)
    show(s, options, few, many, cold)
    s.table(["RSS MiB after a restart", *few_rss], [[f"{n:,} sessions", *(round(v / 1024, 1) for v in rss.values())]
                                                    for n, rss in ((0, few_rss), (options.sessions, many_rss))])
    s.say(f"On disk they take {(many_bytes - few_bytes) / 2**20:,.0f} MiB (sessions and lanes with their indexes).")
    s.keep(few=few, many=many, cold=cold, rss_before_kib=few_rss, rss_after_kib=many_rss, disk_bytes=many_bytes - few_bytes)
    return s


def fresh_rss(stand):
    stand.node.stop()
    stand.start_node()
    stand.serving()
    return stand.rss()


def table_bytes(stand):
    return int(stand.sql("SELECT pg_total_relation_size('tb.agent_sessions') + pg_total_relation_size('tb.lanes')"))


def fill(stand, sessions):
    """As tb.open_sessions writes them, without the foreign key's lookups. The keys are the load client's, so that it finds them."""
    stand.script(f"""
        SET session_replication_role = replica;
        INSERT INTO tb.agent_sessions (tenant_id, session_id, agent_id, session_key, slot)
          SELECT 1, (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0') || '7000a' || lpad(to_hex(g), 15, '0'))::uuid, a.agent_id,
                 'bench:idle:' || g, g * 2654435761 % 4096
          FROM generate_series(0, {sessions} - 1) g, tb.agents a WHERE a.tenant_id = 1 AND a.name = 'main';
        INSERT INTO tb.lanes (tenant_id, session_id) SELECT tenant_id, session_id FROM tb.agent_sessions WHERE session_key LIKE 'bench:idle:%';
        RESET session_replication_role;
        VACUUM ANALYZE tb.agent_sessions; VACUUM ANALYZE tb.lanes;
        CHECKPOINT;""")


def show(s, options, few, many, cold):
    s.table(["enqueue acks, 500/s", "p50 ms", "p99 ms"],
            [[f"{FEW:,} sessions there, to those", ms(few["ack_p50_us"]), ms(few["ack_p99_us"])],
             [f"{options.sessions:,} there, to the same {FEW:,}", ms(many["ack_p50_us"]), ms(many["ack_p99_us"])],
             [f"{options.sessions:,} there, each to one never used", ms(cold["ack_p50_us"]), ms(cold["ack_p99_us"])]])
    s.say(f"Each line is the median of {WINDOWS} loads. The idle sessions were put in by SQL, then VACUUM ANALYZE and a restart of the node.")
    s.at_most(f"ack p99 with {options.sessions:,} sessions, of that with {FEW:,}", round(many["ack_p99_us"] / few["ack_p99_us"], 2), 1.2)
    s.at_most("ack p50 to a session never used, of a used one's", round(cold["ack_p50_us"] / many["ack_p50_us"], 2), 2)
    s.at_most("ack p99 to a session never used, of a used one's", round(cold["ack_p99_us"] / many["ack_p99_us"], 2), 2)
