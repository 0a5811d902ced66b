"""Python handlers for examples/jobs.yaml: any importable function that takes the job's context."""

from synccron import JobContext


def report(ctx: JobContext) -> dict[str, object]:
    """Count something; a step that was completed is not done again by a later attempt."""
    rows = ctx.step("rows", lambda: sum(range(1000)))
    ctx.log.info("the report of %s has %d rows", ctx.input["region"], rows)
    return {"region": ctx.input["region"], "rows": rows}
