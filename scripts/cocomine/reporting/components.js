// What the pages with data beside them share: the data, and making elements.
"use strict";
const data = window.cocomine;
const $ = id => document.getElementById(id);
const element = (tag, text, properties = {}) => Object.assign(document.createElement(tag), text === undefined ? {} : {textContent: text}, properties);

function svg(tag, properties) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) made.setAttribute(name, value);
  return made;
}

