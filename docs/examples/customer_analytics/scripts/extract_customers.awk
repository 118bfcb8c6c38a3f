# Reads the export of customers: one row for each, countries as codes, and who of them is the same person.
#
# Of a customer who is there twice the last row counts. Customers who share an address are one person; the first of
# them is the master, whom the others point to.

BEGIN {
    source = parameter("source")
    split("US CA DE FR GB NL", code, " ")
    for (i in code) country_of[tolower(code[i])] = code[i]
    country_of["usa"] = "US"
    country_of["uk"] = "GB"
    country_of["germany"] = "DE"

    target = main_place()
    refused_file = place("customers_refused.csv")
    print "row,reason,text" > refused_file

    columns = open(source, "customer_id,name,email,country,signed_up_on,channel")
    while ((count = next_row(source)) > 0) {
        rows++
        reason = ""
        id = trim(row[1])
        country = tolower(trim(row[4]))
        on = iso_date(trim(row[5]))
        if (count != columns) reason = "columns"
        else if (id !~ /^C[0-9]+$/) reason = "identity"
        else if (!(country in country_of)) reason = "country"
        else if (on == "") reason = "date"
        if (reason != "") {
            refused++
            print row_number[source] "," reason "," quoted(row_line) > refused_file
            continue
        }
        if (id in text) repeated++
        else order[++kept] = id
        mail = tolower(trim(row[3]))
        if (mail !~ /^[^@ ]+@[^@ ]+\.[^@ ]+$/) mail = ""
        address[id] = mail
        text[id] = quoted(trim(row[2])) "," mail "," country_of[country] "," on "," tolower(trim(row[6]))
    }
    close(refused_file)

    print "customer_id,master_id,name,email,country,signed_up_on,channel" > target
    for (i = 1; i <= kept; i++) {
        id = order[i]
        mail = address[id]
        if (mail == "") unreachable++
        else if (mail in owner) merged++
        else owner[mail] = id
        print id "," (mail in owner ? owner[mail] : id) "," text[id] > target
    }
    close(target)

    say("rows", rows)
    say("kept", kept)
    say("repeated", repeated)
    say("refused", refused)
    say("merged", merged)
    say("without_email", unreachable)
    say_path("refused_path", "customers_refused.csv")
    exit
}
