"""Plots by gnuplot, as SVG texts, a page that holds them beside the figures, and the figures alone as Markdown."""
import html
import subprocess
import tempfile

HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 15px sans-serif; max-width: 60em; margin: 2em auto }} td, th {{ padding: 2px 10px; text-align: right }}
td:first-child, th:first-child {{ text-align: left }} .missed {{ color: #c0392b }} svg {{ max-width: 100%; height: auto }}</style>
<h1>{title}</h1>
"""


def gnuplot(script, data):
    """The SVG that `script` draws; $data in it is the name of a file with `data`."""
    with tempfile.NamedTemporaryFile("w", suffix=".dat") as file:
        file.write(data)
        file.flush()
        text = subprocess.run(["gnuplot"], input=script.replace("$data", file.name), stdout=subprocess.PIPE, text=True, check=True).stdout
    return text[text.index("<svg"):]


def bars(rows):
    """Ratios with the spread of their rounds."""
    data = "".join(f'"{r["case"]}" {r["ratio"]} {r["ratio_spread"][0]} {r["ratio_spread"][1]}\n' for r in rows)
    return gnuplot("""set terminal svg size 900,520 font 'sans,11'
set style fill solid 0.8
set boxwidth 0.6
set ylabel 'time of the peer / time of aval'
set xtics rotate by -40
set yrange [0:*]
set grid ytics
unset key
plot '$data' using 0:2:xtic(1) with boxes lc rgb '#1b6ca8', '' using 0:2:3:4 with yerrorbars lc rgb '#333333' pt 0, 1 lc rgb '#c0392b' dt 2
""", data)


def line(series):
    """Time against what grows, both logarithmic."""
    data = "".join(f"{x} {ms}\n" for x, ms in series["points"])
    return gnuplot(f"""set terminal svg size 600,360 font 'sans,11'
set logscale xy
set xlabel '{series["grows"]}'
set ylabel 'milliseconds'
set grid
unset key
plot '$data' with linespoints lc rgb '#1b6ca8' pt 7
""", data)


def write(file, rows, all_series):
    with open(file, "w") as page:
        page.write(HEAD.format(title="aval beside what a user would take instead"))
        if rows:
            page.write(bars(rows) + "<table><tr><th>case<th>aval, ms<th>ratio<th>spread<th>bar</tr>\n")
        for r in rows:
            missed = ' class="missed"' if r["bar"] is not None and r["ratio"] < r["bar"] else ""
            page.write(f'<tr{missed}><td>{html.escape(r["case"])}<td>{r["aval_ms"]:.3f}<td>{r["ratio"]:.2f}'
                       f'<td>{r["ratio_spread"][0]:.2f} to {r["ratio_spread"][1]:.2f}<td>{"" if r["bar"] is None else r["bar"]}</tr>\n')
        page.write("</table>\n" if rows else "")
        for series in all_series:
            page.write(f'<h2>{html.escape(series["name"])}</h2><p>Grows as ({html.escape(series["grows"])})<sup>{series["exponent"]:.2f}</sup>'
                       f"</p>\n{line(series)}\n")
        page.write("</html>\n")


def write_markdown(file, rows, all_series):
    with open(file, "w") as page:
        page.write("| case | aval, ms | peers, ms | ratio (of rounds) | bar |\n| --- | --- | --- | --- | --- |\n")
        for r in rows:
            peers = ", ".join(f"{name} {peer['ms']:.3g}" for name, peer in r["peers"].items())
            bar = "" if r["bar"] is None else f"{r['bar']:g}" + ("" if r["ratio"] >= r["bar"] else " **missed**")
            page.write(f"| {r['case']} | {r['aval_ms']:.3g} | {peers} | {r['ratio']:.2f} ({r['ratio_spread'][0]:.2f} to {r['ratio_spread'][1]:.2f}) | {bar} |\n")
        if all_series:
            page.write("\n| what grows | grows as | milliseconds |\n| --- | --- | --- |\n")
        for s in all_series:
            points = ", ".join(f"{x}: {ms:.3g}" for x, ms in s["points"])
            page.write(f"| {s['name']} | ({s['grows']})^{s['exponent']:.2f} | {points} |\n")
