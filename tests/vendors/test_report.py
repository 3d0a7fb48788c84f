"""The comparison with docs/kernels.md finds what it is for.  Run by run.sh."""

import copy
import types
import unittest

import report

VARIANT = {"file": "a.cl", "name": "a.cl", "options": ["-DS_TYPE=1"], "fp64": False, "kernels": ["k"]}


def table(**changed):
    """One kernel on one GPU of each vendor."""
    results = []
    for vendor, target, registers in (("AMD", "gfx906", 40), ("NVIDIA", "sm_75", 40), ("Intel", "skl", 16)):
        figures = {"registers": registers, "spilled": 0, "local": 1024, "occupancy": 50}
        figures.update(changed.get(vendor, {}))
        compiler = types.SimpleNamespace(vendor=vendor)
        results.append((VARIANT, compiler, {"targets": {target: {"k": figures}}}))
    return report.Table(results)


class Comparison(unittest.TestCase):
    def setUp(self):
        self.page = report.page(table(), 1)

    def found(self, **changed):
        return report.differences(table(**changed), self.page)

    def test_what_was_written_is_read_back(self):
        self.assertEqual(self.found(), [])

    def test_spills_and_local_memory_are_compared_exactly(self):
        for vendor in report.VENDORS:
            self.assertEqual(len(self.found(**{vendor: {"spilled": 4}})), 1)
            self.assertEqual(len(self.found(**{vendor: {"local": 1028}})), 1)

    def test_registers_may_grow_by_the_margin_and_no_further(self):
        self.assertEqual(self.found(AMD={"registers": 50}), [])
        self.assertEqual(len(self.found(AMD={"registers": 51})), 1)
        self.assertEqual(self.found(NVIDIA={"registers": 8}), [])

    def test_fewer_work_items_a_thread_are_a_regression_on_intel(self):
        self.assertEqual(len(self.found(Intel={"registers": 8})), 1)
        self.assertEqual(self.found(Intel={"registers": 32}), [])

    def test_kernels_on_one_side_only_are_named(self):
        self.assertEqual(len(report.differences(table(), "")), 3)
        renamed = copy.deepcopy(self.page).replace("| a.cl | k |", "| a.cl | gone |")
        self.assertEqual(len(report.differences(table(), renamed)), 6)

    def test_a_spill_survives_the_page(self):
        page = report.page(table(AMD={"spilled": 12}), 1)
        self.assertEqual(report.differences(table(AMD={"spilled": 12}), page), [])
        self.assertEqual(len(report.differences(table(), page)), 1)


if __name__ == "__main__":
    unittest.main()
