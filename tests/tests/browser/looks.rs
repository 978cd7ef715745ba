//! What must hold for the looks of every page: scripts that find what does not.

/// Elements that stick out of the window or, outside of scrolling boxes, of the page.
pub(crate) const TOO_WIDE: &str = "(() => {
    const wide = [];
    if (document.documentElement.scrollWidth > innerWidth) wide.push('page');
    for (const element of document.querySelectorAll('body *')) {
        if (element.closest('.box') && !element.matches('.box')) continue;
        if (element.closest('svg, .readout, .cross')) continue;
        const { left, right, width } = element.getBoundingClientRect();
        if (width && (left < -0.5 || right > innerWidth + 0.5)) wide.push(element.outerHTML.slice(0, 80));
    }
    return wide;
})()";

/// Text with a contrast below 4.5 to what is behind it (WCAG 2, 1.4.3).
pub(crate) const ILLEGIBLE: &str = "(() => {
    const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([red, green, blue]) => [red, green, blue].reduce((sum, part, index) => {
        const share = part / 255;
        return sum + [0.2126, 0.7152, 0.0722][index] * (share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4);
    }, 0);
    const behind = (element) => {
        for (; element; element = element.parentElement) {
            const colour = parse(getComputedStyle(element).backgroundColor);
            if (colour.length < 4 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const poor = [];
    for (const element of document.querySelectorAll('body *')) {
        if (!element.getClientRects().length || element.closest('script')) continue;
        if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
        const [a, b] = [light(parse(getComputedStyle(element).color)), light(behind(element))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) poor.push(`${contrast.toFixed(2)} ${element.outerHTML.slice(0, 80)}`);
    }
    return poor;
})()";
