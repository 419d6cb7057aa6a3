# Completion of oktasync for bash. The candidates come from `oktasync __complete`.
# The typed text is never run.

_oktasync() {
	local line=${COMP_LINE:0:COMP_POINT} breaks=${COMP_WORDBREAKS//[!@=:]/}
	local words=() last=-1 word prefix='' flag='' out directive candidate i
	# bash also breaks words at @, = and :. Join the parts that have no space between them.
	for ((i = 0; i <= COMP_CWORD; i++)); do
		if ((i == 0)) || [[ $line == [[:space:]]* ]]; then
			line=${line#"${line%%[![:space:]]*}"}
			words[++last]=''
		fi
		word=${COMP_WORDS[i]}
		((i == COMP_CWORD)) && word=$line
		line=${line#"$word"}
		words[last]+=$word
	done
	# Remove quotes and expand ~ as the shell does. A word that could run a command or
	# expand a variable is not changed.
	for ((i = 0; i <= last; i++)); do
		word=${words[i]}
		[[ $word == *[\$\`\;\|\&\<\>\(\)]* ]] || eval "words[i]=$word" 2>/dev/null || words[i]=$word
	done

	# bash replaces the part of the last word after the last break, or after an @.
	word=${words[last]} breaks=${breaks:-$'\n'}
	case ${word##*["$breaks"]} in
	"$word") ;;
	*) prefix=${word%"${word##*["$breaks"]}"} prefix=${prefix%@} ;;
	esac
	[[ $word == -*=* ]] && flag=${word%%=*}= # the candidates do not include it

	out=$("${words[@]:0:1}" __completeNoDesc "${words[@]:1}" 2>/dev/null) || return
	directive=${out##*:} out=${out%:*}
	COMPREPLY=()
	while IFS= read -r candidate; do
		candidate=$flag$candidate
		[[ $candidate != "$flag" && $candidate == "$word"* ]] && COMPREPLY+=("${candidate#"$prefix"}")
	done <<<"$out"
	((directive & (8 | 16))) && COMPREPLY=() # file names or folders
	{
		((directive & 2)) && compopt -o nospace
		((directive & 32)) && compopt -o nosort
		if ((directive & 16)); then
			compopt -o dirnames
		elif ! ((directive & 4)); then
			compopt -o default
		fi
	} 2>/dev/null # older versions of bash lack some of these
}

complete -F _oktasync oktasync
