"""tests/conformance.md says what the conformance tests show."""

from rc import clause

AT_LEAST = 120


def test_the_list_is_up_to_date():
    """The list is what the tests' clauses make it."""
    assert clause.LIST.read_text() == clause.as_text(), f"the list is stale: run `{clause.COMMAND}`"


def test_each_clause_has_one_test():
    """No clause is listed twice, and there are as many as were promised."""
    clauses = [shown for shown, _, _ in clause.collect()]
    assert len(set(clauses)) == len(clauses) >= AT_LEAST
