// Uses the page as a person would, and puts what is wrong into its title.
"use strict";
{
    const wrong = [];
    const expect = (good, what) => { if (!good) wrong.push(what); };
    const cells = () => [...document.querySelectorAll(".cell")];
    const panel = document.getElementById("panel");

    cells()[0].click();
    expect(!panel.hidden && cells()[0].getAttribute("aria-pressed") === "true", "a click opens the details");
    expect(panel.textContent.includes(cells()[0].dataset.op), "the details are of the cell");
    document.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    expect(panel.hidden && document.activeElement === cells()[0], "Escape closes them and goes back to the cell");
    cells()[0].dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
    expect(document.activeElement === cells()[1], "an arrow key moves to the next cell");
    cells()[1].dispatchEvent(new MouseEvent("mouseover", { bubbles: true, clientX: 50, clientY: 50 }));
    expect(!document.getElementById("tip").hidden && /passed|failed/.test(document.getElementById("tip").textContent), "numbers on hover");

    const search = document.getElementById("op"), all = cells().length;
    search.value = "tanh";
    search.dispatchEvent(new Event("input", { bubbles: true }));
    expect(cells().length === 2 && location.hash.includes("q=tanh"), "typing filters, and the address keeps it");
    search.value = "";
    search.dispatchEvent(new Event("input", { bubbles: true }));
    expect(cells().length === all, "an empty filter shows all");

    // WCAG 2: text on its ground has a contrast of 4.5 at least
    const light = colour => {
        const [r, g, b] = colour.match(/[\d.]+/g).slice(0, 3).map(x => x / 255).map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    for (const look of ["e0", "e1", "e2", "e3", "e4", "bad", "lost"]) {
        const cell = document.createElement("button");
        cell.className = "cell " + look;
        document.body.append(cell);
        const style = getComputedStyle(cell), pair = [light(style.color), light(style.backgroundColor)].sort();
        const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
        expect(contrast >= 4.5, look + " has a contrast of " + contrast.toFixed(2));
        cell.remove();
    }
    document.title = wrong.length ? wrong.join("; ") : "all is well";
}
