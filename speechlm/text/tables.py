"""What abbreviations, units, currencies and symbols are read as, in English."""

from __future__ import annotations

MONTHS = (
    "january february march april may june july august september october november december"
).split()
MONTH_NAMES = {name[:3]: name for name in MONTHS} | {name: name for name in MONTHS}
MONTH_NAMES["sept"] = "september"
DAYS = {
    "mon": "monday",
    "tue": "tuesday",
    "tues": "tuesday",
    "wed": "wednesday",
    "thu": "thursday",
    "thur": "thursday",
    "thurs": "thursday",
    "fri": "friday",
    "sat": "saturday",
    "sun": "sunday",
}

TITLES = {
    "mr": "mister",
    "mrs": "missus",
    "ms": "miss",
    "messrs": "messieurs",
    "prof": "professor",
    "capt": "captain",
    "col": "colonel",
    "gen": "general",
    "lt": "lieutenant",
    "maj": "major",
    "sgt": "sergeant",
    "cpl": "corporal",
    "rev": "reverend",
    "gov": "governor",
    "sen": "senator",
    "rep": "representative",
    "pres": "president",
    "hon": "honorable",
    "fr": "father",
    "mt": "mount",
    "ft": "fort",
}
"""Before a name, with or without a full stop."""
BEFORE_NAME = {"dr": "doctor", "st": "saint"}
AFTER_NAME = {"dr": "drive", "st": "street"}
ABBREVIATIONS = {
    "jr": "junior",
    "sr": "senior",
    "ave": "avenue",
    "blvd": "boulevard",
    "rd": "road",
    "ln": "lane",
    "hwy": "highway",
    "pkwy": "parkway",
    "sq": "square",
    "apt": "apartment",
    "bldg": "building",
    "dept": "department",
    "univ": "university",
    "inc": "incorporated",
    "ltd": "limited",
    "corp": "corporation",
    "co": "company",
    "bros": "brothers",
    "assn": "association",
    "vs": "versus",
    "etc": "et cetera",
    "approx": "approximately",
    "appt": "appointment",
    "est": "established",
    "govt": "government",
    "max": "maximum",
    "min": "minimum",
    "misc": "miscellaneous",
    "tel": "telephone",
    "temp": "temperature",
    "vol": "volume",
    "vols": "volumes",
    "fig": "figure",
    "figs": "figures",
    "ch": "chapter",
    "ed": "edition",
    "pp": "pages",
    "cf": "compare",
    "al": "al",
}
"""With a full stop only, since some are words without."""
DOTTED = {
    "e.g.": "for example",
    "i.e.": "that is",
    "a.k.a.": "also known as",
    "a.m.": "a m",
    "p.m.": "p m",
    "ph.d.": "p h d",
    "w/o": "without",
    "w/": "with",
    "b/c": "because",
}

UNITS = {
    "mm": ("millimeter", "millimeters"),
    "cm": ("centimeter", "centimeters"),
    "m": ("meter", "meters"),
    "km": ("kilometer", "kilometers"),
    "in": ("inch", "inches"),
    "ft": ("foot", "feet"),
    "yd": ("yard", "yards"),
    "mi": ("mile", "miles"),
    "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"),
    "kg": ("kilogram", "kilograms"),
    "oz": ("ounce", "ounces"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "ml": ("milliliter", "milliliters"),
    "cl": ("centiliter", "centiliters"),
    "l": ("liter", "liters"),
    "gal": ("gallon", "gallons"),
    "tsp": ("teaspoon", "teaspoons"),
    "tbsp": ("tablespoon", "tablespoons"),
    "ms": ("millisecond", "milliseconds"),
    "s": ("second", "seconds"),
    "sec": ("second", "seconds"),
    "secs": ("second", "seconds"),
    "min": ("minute", "minutes"),
    "mins": ("minute", "minutes"),
    "h": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "yr": ("year", "years"),
    "yrs": ("year", "years"),
    "mph": ("mile per hour", "miles per hour"),
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"),
    "rpm": ("revolution per minute", "revolutions per minute"),
    "hz": ("hertz", "hertz"),
    "khz": ("kilohertz", "kilohertz"),
    "mhz": ("megahertz", "megahertz"),
    "ghz": ("gigahertz", "gigahertz"),
    "w": ("watt", "watts"),
    "kw": ("kilowatt", "kilowatts"),
    "kwh": ("kilowatt hour", "kilowatt hours"),
    "v": ("volt", "volts"),
    "db": ("decibel", "decibels"),
    "kb": ("kilobyte", "kilobytes"),
    "mb": ("megabyte", "megabytes"),
    "gb": ("gigabyte", "gigabytes"),
    "tb": ("terabyte", "terabytes"),
    "kbps": ("kilobit per second", "kilobits per second"),
    "mbps": ("megabit per second", "megabits per second"),
    "kcal": ("kilocalorie", "kilocalories"),
    "px": ("pixel", "pixels"),
    "m2": ("square meter", "square meters"),
    "km2": ("square kilometer", "square kilometers"),
    "m3": ("cubic meter", "cubic meters"),
    "sqft": ("square foot", "square feet"),
    "°c": ("degree celsius", "degrees celsius"),
    "°f": ("degree fahrenheit", "degrees fahrenheit"),
    "°": ("degree", "degrees"),
    "%": ("percent", "percent"),
}
"""After a number: singular and plural."""
CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
}
MULTIPLES = {
    "k": "thousand",
    "thousand": "thousand",
    "m": "million",
    "mn": "million",
    "million": "million",
    "b": "billion",
    "bn": "billion",
    "billion": "billion",
    "trillion": "trillion",
}
SYMBOLS = {
    "&": "and",
    "+": "plus",
    "=": "equals",
    "%": "percent",
    "@": "at",
    "#": "number",
    "×": "times",
    "÷": "divided by",
    "±": "plus or minus",
    "<": "less than",
    ">": "greater than",
    "°": "degrees",
    "$": "dollars",
    "€": "euros",
    "£": "pounds",
    "¥": "yen",
    "₹": "rupees",
    "¢": "cents",
    "§": "section",
    "©": "copyright",
}

WORD_ACRONYMS = {
    "NASA", "NATO", "UNESCO", "UNICEF", "OPEC", "AIDS", "COVID", "PIN", "SIM", "ZIP", "RAM", "ROM",
    "GIF", "FIFA", "UEFA", "NAFTA", "NAVY", "ASCII", "RADAR", "LASER", "SCUBA", "SWAT", "CAPTCHA",
}  # fmt: skip
"""Read as words, though too short or too odd to look like any."""
SPOKEN_ACRONYMS = {"OK": "okay", "JPEG": "jay peg", "WIFI": "wi-fi", "DIY": "d i y"}
LETTER_ACRONYMS = {
    "ASAP", "AKA", "ATM", "BBC", "CEO", "EU", "FAQ", "IQ", "UFO", "UK", "UN", "USA", "USB", "URL",
    "IBM", "IEEE", "AAA", "NAACP", "UCLA", "ESPN", "ICAO", "AI", "API", "APIs",
}  # fmt: skip
"""Read by letters, though they look like words."""
SHORT_WORDS = frozenset(
    (
        "a i am an as at be by do go he if in is it me my no of oh on or so to up we ah ha hi "
        "all and any are bad big boy but buy can day did end few for get god got had has her him "
        "his hot how its job let lot man may men mom new not now off old one our out own put ran "
        "red run say see set she sir sit six ten the too top try two use war was way who why win "
        "won yes yet you dad cat dog eat fun hey low sad sun key war car bus"
    ).split()
)
"""Capitals of so few letters are read by letters, but for these, which are emphasised."""
REGNAL = frozenset(
    "henry elizabeth george edward charles james richard william louis philip john paul pius "
    "benedict catherine peter frederick alexander nicholas ivan mary".split()
)
NUMBERED = frozenset(
    "war chapter part act scene volume book phase type section level stage title article "
    "appendix super bowl".split()
)
